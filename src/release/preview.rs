//! What a request would change, for plans: found out without a write.

use super::error::ReleaseError;
use super::record::{Record, Status};
use super::render::Numbered;
use super::{Releases, Request};

/// What a request would change about a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// Nothing.
    Same {
        /// Fields that are left to other managers, in words.
        left: Vec<String>,
    },
    /// This manifest would be applied.
    Changes(String),
}

impl Releases {
    /// What would happen to a release with this history. Writes nothing, and
    /// cannot know what templates would render once the chart's definitions
    /// are there.
    pub async fn preview(
        &self,
        request: &Request,
        history: &[Record],
    ) -> Result<Preview, ReleaseError> {
        let installs = !history.iter().any(|r| r.status() == Status::Deployed);
        let last = history.last();
        let next = Numbered {
            revision: last.map_or(0, Record::revision) + 1,
            is_upgrade: !installs,
        };
        let capabilities = self.capabilities().await?;
        let content = self.render(request, &capabilities, next).await?;
        let deployed = last.filter(|r| r.status() == Status::Deployed);
        if let Some(deployed) = deployed
            && self
                .is_same(request, &content, deployed, &capabilities)
                .await?
            && let Some(left) = self.live(deployed, &request.options).await?
        {
            return Ok(Preview::Same { left });
        }
        Ok(Preview::Changes(content.manifest))
    }
}
