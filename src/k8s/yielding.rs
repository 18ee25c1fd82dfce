//! Applying where somebody else has set the same fields.
//!
//! What another manager has taken over is left to it, and told: an
//! autoscaler's replicas must not stop a release, and what somebody changed by
//! hand in the night is not undone without a word.

use super::{ApplyOptions, FieldConflict, K8sError, Kube, fieldpath};
use crate::manifest::Manifest;

/// What an apply came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Yielded {
    /// The object as the server has it then.
    pub object: Manifest,
    /// What was left to others.
    pub left: Vec<FieldConflict>,
}

impl FieldConflict {
    /// ``Deployment todo/web: `.spec.replicas` is left to autoscaler, which
    /// has set it``.
    pub fn told(&self, object: &Manifest) -> String {
        format!(
            "{object}: `{}` is left to {}, which has set it",
            self.field, self.manager
        )
    }
}

impl Kube {
    /// Applies an object without the fields that others have set since, unless
    /// it is forced. What `manager` itself once wrote by other means is no
    /// other's, and is taken. What cannot be left out is an error.
    pub async fn apply_yielding(
        &self,
        mut object: Manifest,
        manager: &str,
        mut options: ApplyOptions,
    ) -> Result<Yielded, K8sError> {
        let mut all_left: Vec<FieldConflict> = Vec::new();
        loop {
            let error = match self.apply_as(&object, manager, options).await {
                Err(error @ K8sError::FieldConflict { .. }) => error,
                other => {
                    return Ok(Yielded {
                        object: other?,
                        left: all_left,
                    });
                }
            };
            let K8sError::FieldConflict { fields, .. } = &error else {
                return Err(error);
            };
            let others: Vec<_> = fields.iter().filter(|c| c.manager != manager).collect();
            if others.is_empty() && !options.force {
                options.force = true;
                continue;
            }
            let mut body = object.body().clone();
            let before = all_left.len();
            for conflict in others {
                if fieldpath::remove(&mut body, &conflict.field) {
                    all_left.push(conflict.clone());
                }
            }
            // Each round leaves a field out or forces, so there is an end.
            object = match Manifest::new(body) {
                Ok(rest) if all_left.len() > before => rest,
                _ => return Err(error),
            };
        }
    }
}
