//! How a program gets in.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cutover_secrets::VaultError;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    PublicKeyData, SigningKey,
};
use tempfile::TempDir;

use crate::support::{Server, refusal, text, value};

const PASSWORD: &str = "vault://kv/shop/db#password";

#[tokio::test]
async fn a_token_comes_from_the_environment_a_file_or_what_a_login_has_left() {
    let server = Server::start().with_shop();
    server.allow_shop();
    let token = server.token();
    let file = server.file("token", &format!("{token}\n"));
    server.file(".vault-token", &token);
    let (file, home) = (file.display().to_string(), server.folder.path().display().to_string());
    for variable in [("VAULT_TOKEN", token.as_str()), ("VAULT_TOKEN_FILE", &file), ("HOME", &home)] {
        assert_eq!(value(&server.stores_with(&[variable]), PASSWORD).await, "hunter2", "{}", variable.0);
    }
    let nothing = refusal(&server.stores_with(&[]), PASSWORD).await;
    assert!(matches!(*nothing, VaultError::NoCredential), "{nothing}");
    let no_file = refusal(&server.stores_with(&[("VAULT_TOKEN_FILE", "/no/such/file")]), PASSWORD).await;
    assert!(matches!(*no_file, VaultError::CredentialFile { variable: "VAULT_TOKEN_FILE", .. }), "{no_file}");
}

#[tokio::test]
async fn a_role_logs_in_and_its_token_is_given_back() {
    let server = Server::start().with_shop();
    server.allow_shop();
    server.ask("POST", "sys/auth/machines", r#"{"type": "approle"}"#);
    server.ask("POST", "auth/machines/role/shop", r#"{"token_policies": ["shop"], "token_ttl": "1h"}"#);
    let role = text(&server.ask("GET", "auth/machines/role/shop/role-id", "")["data"]["role_id"]);
    let secret = server.ask("POST", "auth/machines/role/shop/secret-id", "{}");
    let secret = text(&secret["data"]["secret_id"]);
    let file = server.file("secret-id", &secret).display().to_string();
    let before = server.tokens();
    let [mount, role] = [("VAULT_AUTH_MOUNT", "machines"), ("VAULT_ROLE_ID", role.as_str())];
    for secret in [("VAULT_SECRET_ID", secret.as_str()), ("VAULT_SECRET_ID_FILE", &file)] {
        assert_eq!(value(&server.stores_with(&[mount, role, secret]), PASSWORD).await, "hunter2");
    }
    assert_eq!(server.tokens(), before);
    let wrong = server.stores_with(&[mount, role, ("VAULT_SECRET_ID", "wrong-secret-id")]);
    let error = refusal(&wrong, PASSWORD).await;
    assert!(matches!(*error, VaultError::LoginRefused { .. }) && !error.retryable(), "{error}");
    assert!(
        error.to_string().contains("auth/machines") && !error.to_string().contains("wrong-secret-id"),
        "{error}"
    );
}

#[tokio::test]
async fn tokens_that_can_not_be_given_back_are_left_to_end() {
    let server = Server::start().with_shop();
    server.allow_shop();
    server.ask("POST", "sys/auth/approle", r#"{"type": "approle"}"#);
    let role = r#"{"token_policies": ["shop"], "token_type": "batch", "bind_secret_id": false, "secret_id_bound_cidrs": [],
                   "token_bound_cidrs": ["127.0.0.1/32"]}"#;
    server.ask("POST", "auth/approle/role/shop", role);
    let role = text(&server.ask("GET", "auth/approle/role/shop/role-id", "")["data"]["role_id"]);
    assert_eq!(value(&server.stores_with(&[("VAULT_ROLE_ID", &role)]), PASSWORD).await, "hunter2");
}

#[tokio::test]
async fn a_signed_statement_logs_in() {
    let server = Server::start().with_shop();
    server.allow_shop();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    server.ask("POST", "sys/auth/jwt", r#"{"type": "jwt"}"#);
    let public = pem("PUBLIC KEY", &key.subject_public_key_info());
    let config = serde_json::json!({"jwt_validation_pubkeys": [public], "jwt_supported_algs": ["EdDSA"]});
    server.ask("POST", "auth/jwt/config", &config.to_string());
    let role = r#"{"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["cutover"], "token_policies": ["shop"]}"#;
    server.ask("POST", "auth/jwt/role/shop", role);
    let before = server.tokens();
    let file = server.file("jwt", &signed(&key, "cutover")).display().to_string();
    let variables = [("VAULT_ROLE", "shop"), ("VAULT_JWT_FILE", file.as_str())];
    assert_eq!(value(&server.stores_with(&variables), PASSWORD).await, "hunter2");
    assert_eq!(server.tokens(), before);
    server.file("jwt", &signed(&key, "somebody else"));
    let error = refusal(&server.stores_with(&variables), PASSWORD).await;
    assert!(matches!(*error, VaultError::LoginRefused { .. }), "{error}");
}

/// A JSON Web Token (RFC 7519) that holds for an hour.
fn signed(key: &KeyPair, audience: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = serde_json::json!({"sub": "shipper", "aud": audience, "iat": now, "exp": now + 3600});
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let text =
        format!("{}.{}", encode(br#"{"alg":"EdDSA","typ":"JWT"}"#), encode(claims.to_string().as_bytes()));
    let signature = key.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", encode(&signature))
}

fn pem(label: &str, content: &[u8]) -> String {
    let text = base64::prelude::BASE64_STANDARD.encode(content);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[tokio::test]
async fn a_certificate_logs_in_over_tls_by_an_authority_of_ones_own() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, content: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str, of: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        (write(&format!("{of}.pem"), certificate.pem()), write(&format!("{of}.key"), key.serialize_pem()))
    };
    let authority = write("ca.pem", ca.pem());
    let (certificate, key) = issue("127.0.0.1", "server");
    let (own, own_key) = issue("shipper", "client");
    let server = Server::with_tls(folder, &certificate, &key).with_shop();
    server.allow_shop();
    server.ask("POST", "sys/auth/cert", r#"{"type": "cert"}"#);
    let role = serde_json::json!({"certificate": ca.pem(), "token_policies": ["shop"]});
    server.ask("POST", "auth/cert/certs/shop", &role.to_string());
    let before = server.tokens();
    let [authority, own, own_key] = [&authority, &own, &own_key].map(|path| path.display().to_string());
    let authority = ("VAULT_CACERT", authority.as_str());
    let own = [("VAULT_CLIENT_CERT", own.as_str()), ("VAULT_CLIENT_KEY", own_key.as_str())];
    let stores = server.stores_with(&[&own[..], &[authority]].concat());
    assert_eq!(value(&stores, PASSWORD).await, "hunter2");
    assert_eq!(server.tokens(), before);
    // The system knows nothing of that authority.
    let error = refusal(&server.stores_with(&own), PASSWORD).await;
    assert!(matches!(*error, VaultError::Unreachable { .. }), "{error}");
}
