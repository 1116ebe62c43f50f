//! The URL of an RPC node, without what may be secret in it: providers put access keys into user, path and query.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Url;

/// Characters of a user, a password or a value of the query from which on it may be a key; fewer are also part of words.
const KEY: usize = 4;
/// The same of a part of the path, and of a name in the query: many of them are words.
const PART: usize = 6;

/// `url` as messages show it: scheme, host and port.
pub fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "the given URL".into(),
    }
}

/// What the node at `url` said, which may repeat the URL it was asked at or keys in it.
pub fn scrubbed(url: &str, said: &str) -> String {
    let said = said.replace(url, &shown(url));
    let Ok(url) = Url::parse(url) else { return said };
    let user = [url.username(), url.password().unwrap_or_default()];
    let basic = BASE64.encode(format!("{}:{}", plain(user[0]), plain(user[1])));
    let parts = url.path().split('/').map(|part| (part, PART));
    // As it stands between the marks: a key may have no name, and a name may be a key.
    let query = url.query().unwrap_or_default().split('&').flat_map(|pair| pair.split('=')).map(|part| (part, PART));
    let values = url.query().unwrap_or_default().split('&').filter_map(|pair| Some((pair.split_once('=')?.1, KEY)));
    let written = user.into_iter().map(|user| (user, KEY)).chain(parts).chain(query).chain(values);
    let mut keys: Vec<(String, usize)> =
        written.flat_map(|(part, least)| [(part.to_owned(), least), (plain(part), least)]).collect();
    if !url.username().is_empty() {
        keys.push((basic, KEY));
    }
    // One may hold another.
    keys.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
    keys.iter().filter(|(key, least)| key.len() >= *least).fold(said, |said, (key, _)| said.replace(key, "…"))
}

/// A part of a URL without its escapes.
fn plain(part: &str) -> String {
    // A form's decoder reads `=` and `&` as well, which are escaped here.
    let form = part.replace('=', "%3D").replace('&', "%26").replace('+', "%2B");
    reqwest::Url::parse(&format!("http://a/?k={form}"))
        .ok()
        .and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_url_is_shown_without_its_access_key() {
        assert_eq!(shown("https://rpc.example.com/v2/s3cret?api-key=x"), "https://rpc.example.com");
        assert_eq!(shown("https://user:pass@rpc.example.com:444/"), "https://rpc.example.com:444");
    }

    #[test]
    fn what_a_node_says_is_shown_without_the_keys_of_its_url() {
        let url = "https://usr1:s3cretpw@rpc.example.com/v2/s3cretpath?api-key=s3cretq&x=1";
        for said in [url, "bad key s3cretq", "usr1 s3cretpw", "/v2/s3cretpath?api-key=s3cretq", "s3cretpath1"] {
            let shown = scrubbed(url, &format!("-32602: {said} at 1"));
            assert!(!shown.contains("s3cret") && !shown.contains("usr1"), "{shown}");
            assert!(shown.starts_with("-32602: ") && shown.ends_with(" at 1"), "{shown}");
        }
        for (url, said) in [
            ("https://rpc.example.com/?BAREs3cret", "BAREs3cret"),
            ("https://rpc.example.com/?api-key=a%2Bs3cret", "a+s3cret"),
            ("https://rpc.example.com/?api-key=a%2Bs3cret", "a%2Bs3cret"),
            ("https://rpc.example.com/s3cret/", "s3cret"),
            ("https://us%2Ber:pa%40s3cret@rpc.example.com/", "pa@s3cret"),
            ("https://us%2Ber:pa%40ss@rpc.example.com/", &BASE64.encode("us+er:pa@ss")),
        ] {
            let shown = scrubbed(url, &format!("-32602: {said} at 1"));
            assert_eq!(shown.replace("BARE", "").replace("a+", ""), "-32602: … at 1", "{url}");
        }
        assert_eq!(scrubbed("no URL", "no URL is bad"), "the given URL is bad");
    }
}
