//! What images in registries say of layers, and how far that is believed.
//!
//! Nothing proves an annotation. Who can write a repository can write the images that are pushed to it,
//! so a claim is believed where every repository that is pushed to makes it. Any other image's claim is
//! checked: the layer's blob is made, so that the registry can be asked for it by its true digest, and
//! takes it over from the other repository instead of being sent it.

use std::collections::BTreeMap;
use std::iter;

use anyhow::{Context, Result};
use image::key_annotations::Claim;
use image::{LayerTable, Witness};
use nix_compat::tree::Trees;
use registry::{Access, Document, StoredManifest};

use super::one_image::{PushRun, Target};

/// What an image says, by the index of the layer.
type Claims = BTreeMap<usize, Claim>;

impl PushRun<'_> {
    /// Learns what layers are from the images at the targets, and from those that were named.
    pub(super) fn learn(&self, targets: &[Target<'_>], trees: &dyn Trees) -> Result<()> {
        if self.args.cache.no_cache || self.table.blobs().is_ok() {
            return Ok(());
        }
        let at_targets: Vec<Claims> = targets
            .iter()
            .map(|target| claims(self.table, &target.standing))
            .collect();
        for index in 0..self.table.len() {
            let mut said = at_targets.iter().map(|claims| claims.get(&index));
            if let Some(Some(claim)) = said.next()
                && said.all(|other| other == Some(claim))
            {
                self.table.claim_blob(index, claim.tar, claim.blob);
            }
        }
        let others = at_targets.into_iter().map(Ok);
        let elsewhere = iter::once_with(|| self.claims_elsewhere(targets));
        for claims in others.chain(elsewhere) {
            let claims = claims?;
            if self.args.trust_annotations {
                for (index, claim) in claims {
                    self.table.claim_blob(index, claim.tar, claim.blob);
                }
            } else {
                self.check(&claims, trees)?;
            }
        }
        Ok(())
    }

    /// What images of other repositories say, where that is still of use.
    fn claims_elsewhere(&self, targets: &[Target<'_>]) -> Result<Claims> {
        let mut found = Claims::new();
        for previous in &self.args.previous_image {
            let is_target = |target: &Target<'_>| target.is_repository_of(previous);
            // Of another registry, no blob can be taken over. With trust, its digests are of use.
            let is_near = |target: &Target<'_>| {
                target.first().registry() == previous.registry() || self.args.trust_annotations
            };
            if targets.iter().any(is_target)
                || !targets.iter().any(is_near)
                || self.table.blobs().is_ok()
            {
                continue;
            }
            let repository = self.client.repository(previous, Access::Pull);
            let image = self
                .image(&repository, &previous.identifier())
                .with_context(|| format!("cannot read --previous-image {previous}"))?;
            for (index, claim) in claims(self.table, image.as_slice()) {
                found.entry(index).or_insert(claim);
            }
        }
        Ok(found)
    }

    /// Makes the blobs of the layers of which something is claimed, unless that is dear, or they were
    /// read before.
    fn check(&self, claims: &Claims, trees: &dyn Trees) -> Result<()> {
        if !trees.rereads_cheaply() {
            return Ok(());
        }
        let is_useful = |index: &usize| {
            let was_read = matches!(self.table.tar(*index), image::Fact::Made(_));
            self.table.blob(*index).is_none() && !was_read
        };
        let layers: Vec<usize> = claims.keys().copied().filter(is_useful).collect();
        self.writers.make(&layers)?;
        for index in layers {
            if self.table.blob(index) != Some(claims[&index].blob) {
                self.table.disprove(index, Witness::Registry);
            }
        }
        Ok(())
    }
}

/// What images say of layers whose blobs are not known. The first counts.
fn claims(table: &LayerTable<'_>, images: &[StoredManifest]) -> Claims {
    let mut found = Claims::new();
    for image in images {
        if let Document::Image { layers, .. } = &image.document {
            for (index, claim) in table.claims(layers) {
                found.entry(index).or_insert(claim);
            }
        }
    }
    found
}
