//! The encrypted way to a server.

use crate::ledger::failure::ServerError;
use crate::ledger::location::Tls;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What encrypts connections, to a server whose certificate is for the host in the URL.
pub(super) fn connector(tls: &Tls) -> Result<MakeRustlsConnect, ServerError> {
    let wrong = |error: rustls::Error| ServerError::new(format!("TLS cannot be used: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
    let builder = match &tls.root {
        None => builder.with_platform_verifier().map_err(wrong)?,
        Some(file) => builder.with_root_certificates(roots(file)?),
    };
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

/// The certificates of a file in PEM.
fn roots(file: &Path) -> Result<RootCertStore, ServerError> {
    let wrong =
        |problem: &dyn std::fmt::Display| ServerError::new(format!("sslrootcert {}: {problem}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"it holds no certificate in PEM")) } else { Ok(roots) }
}
