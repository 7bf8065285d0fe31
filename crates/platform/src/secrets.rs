//! Secrets that definitions name: files that the deployment's operator puts there, read when they are needed.

use std::io;
use std::path::PathBuf;

use freshet_model::{SecretName, TenantId};
use secrecy::SecretString;

/// The directory of tenants' secrets. A tenant's definitions reach its own folder alone.
#[derive(Debug, Clone)]
pub struct Secrets(PathBuf);

impl Secrets {
    /// In a directory, which need not be there.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// A tenant's secret, blanks around it left out; none: there is none.
    ///
    /// # Errors
    /// It can't be read.
    pub fn find(&self, tenant: &TenantId, name: &SecretName) -> io::Result<Option<SecretString>> {
        // Neither a tenant nor a name can hold a slash or a dot.
        match std::fs::read_to_string(self.0.join(tenant.as_str()).join(name.as_str())) {
            Ok(text) => Ok(Some(SecretString::from(text.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_tenant_finds_its_own_secrets_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("acme")).unwrap();
        std::fs::write(directory.path().join("acme/HOOK"), "hunter2\n").unwrap();
        let secrets = Secrets::new(directory.path().to_owned());
        let find = |tenant: &str, name: &str| {
            secrets.find(&TenantId::parse(tenant).unwrap(), &SecretName::parse(name).unwrap()).unwrap()
        };
        assert_eq!(find("acme", "HOOK").unwrap().expose_secret(), "hunter2");
        assert!(find("acme", "OTHER").is_none() && find("other", "HOOK").is_none());
    }
}
