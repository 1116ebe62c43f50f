//! The page: its files, and the rules that its browser keeps.

use crate::relay::testing::world::World;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, IF_NONE_MATCH};

const FILES: [(&str, &str); 4] = [
    ("/", "text/html; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
    ("/page.css", "text/css; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
];

async fn get(world: &World, path: &str, headers: HeaderMap) -> reqwest::Response {
    world.client.get(world.url(path)).headers(headers).send().await.unwrap()
}

#[tokio::test]
async fn every_file_of_the_page_forbids_what_the_page_does_not_need() {
    let world = World::new(vec![]).await;
    for (path, kind) in FILES {
        let response = get(&world, path, HeaderMap::new()).await;
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind);
        let policy = header("content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path} lacks {rule}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-cache");
        assert!(response.headers().get("access-control-allow-origin").is_none(), "{path} is of no use to others");
    }
}

#[tokio::test]
async fn the_page_is_small_and_sent_once() {
    let world = World::new(vec![]).await;
    let mut compressed = 0;
    for (path, _) in FILES {
        let gzip = HeaderMap::from_iter([(ACCEPT_ENCODING, "br, gzip".parse().unwrap())]);
        let response = get(&world, path, gzip).await;
        assert_eq!(response.headers()["content-encoding"], "gzip", "{path}");
        let tag = response.headers()["etag"].clone();
        compressed += response.bytes().await.unwrap().len();
        let again = get(&world, path, HeaderMap::from_iter([(IF_NONE_MATCH, tag)])).await;
        assert_eq!(again.status(), 304, "{path}");
        assert!(again.bytes().await.unwrap().is_empty());
    }
    assert!(compressed < 250_000, "{compressed} bytes");
}

#[tokio::test]
async fn the_page_loads_nothing_but_its_own_files() {
    let world = World::new(vec![]).await;
    let html = get(&world, "/", HeaderMap::new()).await.text().await.unwrap();
    let links: Vec<&str> = [" src=\"", " href=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        assert!(FILES.iter().any(|(path, _)| *path == link), "{link}");
    }
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains(" onload="));
}
