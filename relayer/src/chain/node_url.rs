//! The URL of an RPC node, without what may be secret in it: providers put access keys into user, path and query.

use reqwest::Url;

/// Characters of a user, a password or a value of the query from which on it may be a key; fewer are also part of words.
const KEY: usize = 4;
/// The same of a part of the path, many of which are names.
const PART: usize = 8;

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
    let users = [url.username(), url.password().unwrap_or_default()].map(|user| (user.to_owned(), KEY));
    let query = url.query_pairs().map(|(_, value)| (value.into_owned(), KEY));
    let path = url.path().split('/').map(|part| (part.to_owned(), PART));
    let mut keys: Vec<(String, usize)> = users.into_iter().chain(query).chain(path).collect();
    // One may hold another.
    keys.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
    keys.iter().filter(|(key, least)| key.len() >= *least).fold(said, |said, (key, _)| said.replace(key, "…"))
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
        assert_eq!(scrubbed("no URL", "no URL is bad"), "the given URL is bad");
    }
}
