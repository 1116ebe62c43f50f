//! The spellings of a path: with and without `/v1`, with a slash at its end, with two slashes in a row. Clients join base URLs
//! and paths in all these ways.

use axum::extract::Request;
use axum::http::{Extensions, Uri};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// The version of the API, before each path.
const VERSION: &str = "/v1/";

/// The path as the client sent it, which is the one it signed. Requests whose path was right have none.
#[derive(Clone, Debug)]
struct Sent(Arc<str>);

/// The first segments of the paths below [`VERSION`].
#[derive(Clone, Debug)]
pub(super) struct Segments(Arc<HashSet<String>>);

impl Segments {
    /// Those of `paths`.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a String>) -> Self {
        let first = |path: &'a String| path.strip_prefix(VERSION)?.split('/').next().map(ToOwned::to_owned);
        Self(Arc::new(paths.filter_map(first).collect()))
    }

    /// The request at the path that routes have.
    pub(super) fn canonical(&self, mut request: Request) -> Request {
        let path = request.uri().path();
        let Cow::Owned(canonical) = self.spelt(path) else { return request };
        let sent = Sent(path.into());
        let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
        let mut parts = request.uri().clone().into_parts();
        // What cannot be a path is left alone: no route has it.
        let Ok(target) = format!("{canonical}{query}").parse() else { return request };
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(sent);
        }
        request
    }

    /// A path as the routes spell it.
    pub(super) fn spelt<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let mut spelt = Cow::Borrowed(path);
        if path.contains("//") || (path.len() > 1 && path.ends_with('/')) {
            let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
            spelt = Cow::Owned(format!("/{}", segments.join("/")));
        }
        let first = spelt.trim_start_matches('/').split('/').next().unwrap_or_default();
        if self.0.contains(first) {
            spelt = Cow::Owned(format!("{VERSION}{}", spelt.trim_start_matches('/')));
        }
        spelt
    }
}

/// The path that the client signed.
pub(super) fn signed<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a str {
    extensions.get::<Sent>().map_or(uri.path(), |Sent(path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn every_spelling_is_the_same_path_and_others_stay() {
        let known = ["/v1/chat/completions".to_owned(), "/v1/models/{id}".to_owned(), "/health".to_owned()];
        let segments = Segments::of(known.iter());
        for (sent, canonical) in [
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("//v1//chat/completions//", "/v1/chat/completions"),
            ("/models/a/b/?limit=20", "/v1/models/a/b?limit=20"),
            ("/health/", "/health"),
            ("/", "/"),
            ("/v1/", "/v1"),
            ("/v2/models", "/v2/models"),
        ] {
            let request = segments.canonical(Request::builder().uri(sent).body(Body::empty()).unwrap());
            assert_eq!(request.uri().to_string(), canonical, "{sent}");
            let path = sent.split('?').next().unwrap();
            assert_eq!(signed(request.uri(), request.extensions()), path, "what is signed is what was sent");
        }
    }
}
