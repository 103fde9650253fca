//! Images as the builder leaves them in the artifact store, made by hand.

use cutover_core::Digest;
use cutover_e2e::dist;
use cutover_store::Store;

/// The media type of a layer that is a plain tar archive.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer with the example application.
pub fn application() -> Vec<u8> {
    let hello = std::fs::read(dist().join("hello")).expect("scripts/build.sh must have run");
    layer("hello", &hello, 0o755)
}

/// A layer with so many bytes that can't be compressed, different for each seed.
pub fn payload(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // Marsaglia's xorshift64.
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let noise: Vec<u8> = noise.flatten().take(bytes).collect();
    layer(&format!("payload-{seed}"), &noise, 0o644)
}

fn layer(path: &str, content: &[u8], mode: u32) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, path, content).unwrap();
    archive.into_inner().unwrap()
}

/// Puts an image of these layers into the store, and answers with its manifest (OCI image specification 1.1).
pub async fn image(store: &Store, layers: &[&[u8]]) -> Digest {
    image_of(store, layers, "65532:65532").await
}

/// The same, with another user.
pub async fn image_of(store: &Store, layers: &[&[u8]], user: &str) -> Digest {
    let mut digests = Vec::new();
    let mut descriptors = Vec::new();
    for layer in layers {
        let digest = store.put_bytes(layer).await.unwrap();
        descriptors.push(format!(r#"{{"mediaType":"{LAYER}","digest":"{digest}","size":{}}}"#, layer.len()));
        digests.push(format!(r#""{digest}""#));
    }
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Entrypoint":["/hello"],"User":"{}"}},
             "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        user,
        digests.join(","),
    );
    let size = config.len();
    let config = store.put_bytes(config.as_bytes()).await.unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
             "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{size}}},
             "layers":[{}]}}"#,
        descriptors.join(","),
    );
    store.put_bytes(manifest.as_bytes()).await.unwrap()
}
