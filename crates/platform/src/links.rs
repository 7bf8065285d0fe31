//! Links to files below a prefix: [`PrefixStore`](object_store::prefix::PrefixStore) makes none.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use object_store::path::Path;
use object_store::signer::Signer;
use url::Url;

/// Signs links to files whose paths are told without their prefix.
#[derive(Debug)]
pub(crate) struct PrefixSigner<S> {
    inner: S,
    prefix: Path,
}

impl<S> PrefixSigner<S> {
    /// Over a signer of whole paths.
    pub(crate) fn new(inner: S, prefix: &str) -> Self {
        Self { inner, prefix: Path::from(prefix) }
    }
}

#[async_trait]
impl<S: Signer> Signer for PrefixSigner<S> {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> object_store::Result<Url> {
        let whole = self.prefix.parts().chain(path.parts()).collect();
        self.inner.signed_url(method, &whole, expires_in).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3Builder;

    use super::*;

    #[tokio::test]
    async fn a_link_leads_below_the_prefix() {
        let s3 = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region("eu-central-1")
            .with_access_key_id("key")
            .with_secret_access_key("secret")
            .build()
            .unwrap();
        for (prefix, expected) in [("", "results/a"), ("some/prefix", "some/prefix/results/a")] {
            let signer = PrefixSigner::new(s3.clone(), prefix);
            let url = signer.signed_url(Method::GET, &"results/a".into(), Duration::from_mins(15)).await.unwrap();
            assert!(url.path().ends_with(&format!("/{expected}")), "{url}");
            assert!(url.query().is_some_and(|query| query.contains("X-Amz-Expires=900")), "{url}");
            assert!(!url.as_str().contains("secret"), "{url}");
        }
    }
}
