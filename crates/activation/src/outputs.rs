//! Where activations may write files.

use std::sync::Arc;

use freshet_database::lies_below;
use freshet_model::{Location, Place, TenantId};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::ActivationError;

/// Where activations may write files.
#[derive(Debug)]
pub struct OutputFiles {
    own: Arc<dyn ObjectStore>,
    allowed: Vec<(Location, Arc<dyn ObjectStore>)>,
}

impl OutputFiles {
    /// `own` are the deployment's files, in which each tenant has a folder, `activations/<tenant>`. `allowed` are prefixes that any
    /// tenant's activations may write below, each with its bucket's or machine's files from their root on.
    #[must_use]
    pub fn new(own: Arc<dyn ObjectStore>, allowed: Vec<(Location, Arc<dyn ObjectStore>)>) -> Self {
        Self { own, allowed }
    }

    /// The files of a location, and the path there, if it may be written to.
    pub(crate) async fn find(
        &self,
        tenant: &TenantId,
        location: &Location,
    ) -> Result<(Arc<dyn ObjectStore>, Path), ActivationError> {
        let place = location.place();
        let (files, path) = match place {
            Place::Own { path } => (&self.own, format!("activations/{tenant}/{path}")),
            Place::S3 { path, .. } | Place::File { path } => {
                let mut found = None;
                for (prefix, files) in &self.allowed {
                    if lies_below(place, prefix.place()).await {
                        found = Some(files);
                        break;
                    }
                }
                (found.ok_or(ActivationError::NotAllowed)?, path.clone())
            }
        };
        // A location holds nothing that an object's path can't.
        let path = Path::parse(path).map_err(|_| ActivationError::NotAllowed)?;
        Ok((Arc::clone(files), path))
    }
}
