//! HTTP.
/// Stub.
pub fn router(_app: std::sync::Arc<crate::app::App>) -> axum::Router {
    axum::Router::new()
}
