//! Who may use the proxy. Every program of this machine can reach it, and so can every web page that its browser shows: a page
//! names its origin, and one whose name was made to point here (DNS rebinding) names itself as the host.

use crate::relay::auth::KEY_HEADERS;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use std::net::IpAddr;
use steam_protocol::{Hash, sha256};

/// What browsers say about who made a request, also where they name no origin.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The rules.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Whether other machines may use it: then any address may be the host's name.
    pub remote: bool,
    /// Further names of the host.
    pub hosts: Vec<String>,
    /// Origins whose pages may use it.
    pub origins: Vec<String>,
    /// The hash of the token that clients must send.
    pub token: Option<Hash>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: &'static str,
}

const FOREIGN_HOST: Refused = Refused {
    status: StatusCode::MISDIRECTED_REQUEST,
    code: "host_not_allowed",
    message: "the proxy is addressed by a name that is not its own: use localhost or its address, or start it with --allow-host",
};
const FOREIGN_PAGE: Refused = Refused {
    status: StatusCode::FORBIDDEN,
    code: "origin_not_allowed",
    message: "the proxy takes no requests of this web page: start it with --allow-origin if the page may spend with the key",
};
const NO_TOKEN: Refused = Refused {
    status: StatusCode::UNAUTHORIZED,
    code: "invalid_api_key",
    message: "the proxy was started with --token-file: send that token as the API key",
};

impl Guard {
    /// Checks the host's name and the page that asks.
    ///
    /// # Errors
    /// Why the request is refused.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let named = headers.get_all(HOST).iter().map(|host| host.to_str().ok().and_then(|host| host.parse().ok()));
        let mut named: Vec<Option<Authority>> = named.collect();
        named.extend(uri.authority().cloned().map(Some));
        if named.is_empty() || !named.iter().all(|host| host.as_ref().is_some_and(|host| self.is_own(host.host()))) {
            return Err(FOREIGN_HOST);
        }
        let pages: Vec<&HeaderValue> = headers.get_all(ORIGIN).iter().collect();
        if !pages.iter().all(|page| self.allows(page)) {
            return Err(FOREIGN_PAGE);
        }
        // Where a browser names no origin, as for an image, it says at least that another site asks.
        let elsewhere = headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none");
        if elsewhere && pages.is_empty() { Err(FOREIGN_PAGE) } else { Ok(()) }
    }

    /// Checks the token.
    ///
    /// # Errors
    /// It is missing or another.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(token) = &self.token else { return Ok(()) };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())
        });
        let keys = KEY_HEADERS.iter().filter_map(|name| headers.get(*name)).map(HeaderValue::as_bytes);
        // Hashes are compared, so that how long it takes says nothing about the token.
        if bearer.into_iter().chain(keys).any(|sent| sha256(&[sent]) == *token) { Ok(()) } else { Err(NO_TOKEN) }
    }

    /// Whether the page of this origin may use the proxy.
    pub fn allows(&self, page: &HeaderValue) -> bool {
        self.origins.iter().any(|origin| page.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    }

    fn is_own(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            // No name leads there, so no page's name can.
            Ok(address) => self.remote || address.is_loopback(),
            Err(_) => {
                host.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|name| host.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// A host's name, without a port.
pub fn host(text: &str) -> Result<String, String> {
    match text.parse::<Authority>() {
        Ok(authority) if authority.host() == text && !text.is_empty() => Ok(text.to_owned()),
        _ => Err("expected a host's name like gateway.example, without scheme and port".into()),
    }
}

/// A web page's origin.
pub fn origin(text: &str) -> Result<String, String> {
    let wrong = || "expected an origin like http://localhost:3000, without a path".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let is_plain = url.path().trim_matches('/').is_empty() && url.query().is_none() && url.fragment().is_none();
    if !is_plain || !url.has_host() || !url.username().is_empty() || text.ends_with('/') {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn admit(guard: &Guard, pairs: &[(&'static str, &'static str)]) -> Option<&'static str> {
        guard.admit(&Uri::from_static("/v1/models"), &headers(pairs)).err().map(|refused| refused.code)
    }

    #[test]
    fn the_hosts_own_names_are_taken_and_no_others() {
        let local = Guard { hosts: vec!["gateway.example".into()], ..Guard::default() };
        for host in ["127.0.0.1:8788", "localhost", "LOCALHOST:1", "[::1]:8788", "127.8.9.1", "gateway.example:80"] {
            assert_eq!(admit(&local, &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8788", "localhost.evil.example", "", "a b", "0.0.0.0"]
        {
            assert_eq!(admit(&local, &[("host", host)]), Some("host_not_allowed"), "{host}");
        }
        assert_eq!(admit(&local, &[]), Some("host_not_allowed"));
        assert_eq!(admit(&local, &[("host", "localhost"), ("host", "evil.example")]), Some("host_not_allowed"));
        let absolute = Uri::from_static("http://evil.example/v1/models");
        assert_eq!(local.admit(&absolute, &headers(&[("host", "localhost")])), Err(FOREIGN_HOST));
        let remote = Guard { remote: true, ..Guard::default() };
        assert_eq!(admit(&remote, &[("host", "10.0.0.1:8788")]), None);
        assert_eq!(admit(&remote, &[("host", "evil.example")]), Some("host_not_allowed"));
    }

    #[test]
    fn web_pages_are_refused_but_those_that_are_named() {
        let guard = Guard { origins: vec!["http://localhost:3000".into()], ..Guard::default() };
        let with = |name, value| admit(&guard, &[("host", "localhost"), (name, value)]);
        assert_eq!(with("origin", "http://localhost:3000"), None);
        for origin in
            ["http://localhost:3001", "https://localhost:3000", "null", "http://localhost:3000.evil.example", ""]
        {
            assert_eq!(with("origin", origin), Some("origin_not_allowed"), "{origin}");
        }
        for site in ["cross-site", "same-site", "unheard-of"] {
            assert_eq!(with("sec-fetch-site", site), Some("origin_not_allowed"), "{site}");
        }
        assert_eq!(with("sec-fetch-site", "none"), None);
        assert_eq!(with("sec-fetch-site", "same-origin"), None);
    }

    #[test]
    fn a_token_is_needed_where_there_is_one() {
        let guard = Guard { token: Some(sha256(&[b"0123456789abcdef"])), ..Guard::default() };
        for (name, value) in [
            ("authorization", "Bearer 0123456789abcdef"),
            ("authorization", "bearer  0123456789abcdef"),
            ("x-api-key", "0123456789abcdef"),
            ("api-key", "0123456789abcdef"),
        ] {
            assert_eq!(guard.authenticate(&headers(&[(name, value)])), Ok(()), "{name}: {value}");
        }
        for (name, value) in
            [("authorization", "Basic 0123456789abcdef"), ("x-api-key", "0123456789abcde"), ("x-other", "y")]
        {
            assert_eq!(guard.authenticate(&headers(&[(name, value)])), Err(NO_TOKEN), "{name}: {value}");
        }
        assert_eq!(Guard::default().authenticate(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn what_is_allowed_is_a_name_or_an_origin() {
        for wrong in ["", "a b", "gateway.example:80", "http://gateway.example", "u@gateway.example"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        assert_eq!(host("gateway.example").as_deref(), Ok("gateway.example"));
        for wrong in ["", "*", "null", "localhost:3000", "http://a/", "http://a/path", "http://a?q", "http://u@a"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert_eq!(origin("http://localhost:3000").as_deref(), Ok("http://localhost:3000"));
        assert_eq!(origin("vscode-webview://abc").as_deref(), Ok("vscode-webview://abc"));
    }
}
