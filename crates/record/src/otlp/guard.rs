//! Who may send: a bearer token, and the certificate that the receiver shows.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;

/// Longest token that is read from a file.
const LONGEST: usize = 4096;

/// The token that requests must bring (RFC 6750), by its hash: comparing takes the same time whatever is wrong.
#[derive(Debug, Clone)]
pub(super) struct Token(blake3::Hash);

impl Token {
    /// Reads it from a file; the white space around it does not count.
    pub(super) fn read(path: &Path) -> Result<Token, String> {
        let text = fs::read(path).map_err(|e| format!("--otlp-token: {}: {e}", path.display()))?;
        let token = text.trim_ascii();
        match token.len() {
            0 => Err(format!("--otlp-token: {}: no token in it", path.display())),
            n if n > LONGEST => Err(format!("--otlp-token: {}: longer than {LONGEST} bytes", path.display())),
            _ => Ok(Token(blake3::hash(token))),
        }
    }

    /// Whether a request brings it.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).map_or(&b""[..], |v| v.as_bytes());
        let (scheme, token) = value.split_at(value.len().min(7));
        scheme.eq_ignore_ascii_case(b"bearer ") && blake3::hash(token.trim_ascii()) == self.0
    }
}

/// What is needed to speak TLS to senders.
pub(super) fn tls(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let fail = |flag: &str, path: &Path, why: String| format!("{flag}: {}: {why}", path.display());
    let certs: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| fail("--otlp-tls-cert", cert, e.to_string()))?;
    if certs.is_empty() {
        return Err(fail("--otlp-tls-cert", cert, "no certificate in it".into()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| fail("--otlp-tls-key", key, e.to_string()))?;
    // TLS 1.3 alone, which every SDK speaks that is still kept. Named here: scraping brings 1.2 into the build.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|b| b.with_no_client_auth().with_single_cert(certs, private))
        .map_err(|e| fail("--otlp-tls-key", key, e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_whole_token_admits() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "s3cret\n").unwrap();
        let token = Token::read(&file).unwrap();
        let with = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]);
        assert!(token.admits(&with("Bearer s3cret")) && token.admits(&with("bearer s3cret")));
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer ", "Basic s3cret", "s3cret", "Bearer"] {
            assert!(!token.admits(&with(wrong)), "{wrong}");
        }
        assert!(!token.admits(&HeaderMap::new()));
        fs::write(&file, " \n").unwrap();
        assert!(Token::read(&file).unwrap_err().contains("no token"));
    }
}
