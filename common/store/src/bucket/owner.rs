//! Whose a bucket is.

use super::{Bucket, trouble};
use crate::{Error, Result, Trouble};

/// The name of the object that says it.
const OWNER: &str = "owner";

impl Bucket {
    pub(crate) async fn owner(&self, candidate: &str) -> Result<String> {
        if let Some(owner) = self.read_owner().await? {
            return Ok(owner);
        }
        let key = self.address.key(OWNER);
        let put = self.client.put_object().bucket(&self.address.bucket).key(&key).if_none_match("*");
        match put.body(format!("{candidate}\n").into_bytes().into()).send().await {
            // 412, or 409 while it is written: another was faster.
            Err(error) if !matches!(trouble::status(&error), Some(409 | 412)) => {
                return Err(self.failed("write", &key)(error));
            }
            _ => {}
        }
        Ok(self.read_owner().await?.unwrap_or_default())
    }

    async fn read_owner(&self) -> Result<Option<String>> {
        let key = self.address.key(OWNER);
        let answer = match self.client.get_object().bucket(&self.address.bucket).key(&key).send().await {
            Ok(answer) => answer,
            Err(error) if trouble::status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(self.failed("read", &key)(error)),
        };
        let broken = |source| Error::S3 {
            action: "read",
            place: self.address.place(&key),
            trouble: Trouble::Unreachable,
            source: Some(source),
        };
        let content = answer.body.collect().await.map_err(|error| broken(error.into()))?.to_vec();
        Ok(Some(String::from_utf8_lossy(&content).trim().to_owned()))
    }
}
