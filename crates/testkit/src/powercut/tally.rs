//! What became of disks after a power cut, counted.

use super::expectation::Expectation;
use super::image::Fates;
use super::message::Messages;
use super::recovery::Recovered;

/// What became of some images.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Images recovered.
    pub images: u64,
    /// Writes that no flush covered, over all images.
    pub fates: Fates,
    /// Confirmed messages that images had to account for, over all images.
    pub confirmed: u64,
    /// Images that lost messages.
    pub lossy: u64,
    /// Images of stores that had evacuated segments.
    pub evacuated: u64,
    /// What was wrong, image by image.
    pub failures: Vec<String>,
}

impl Tally {
    /// Whether every disk was as it must be, and confirms were asked for at all.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.confirmed > 0
    }

    /// Adds what became of others.
    pub fn add(&mut self, other: Self) {
        self.images += other.images;
        self.confirmed += other.confirmed;
        self.lossy += other.lossy;
        self.evacuated += other.evacuated;
        self.fates.add(other.fates);
        self.failures.extend(other.failures);
    }

    /// Adds one disk, and says whether it is as it must be.
    pub fn count(
        &mut self,
        name: &str,
        expectation: &Expectation,
        messages: Messages,
        recovered: anyhow::Result<Recovered>,
    ) -> bool {
        self.images += 1;
        self.confirmed += expectation.confirmed();
        let mut wrong = Vec::new();
        match recovered {
            Err(error) => wrong.push(format!("{error:#}")),
            Ok(Recovered {
                contents,
                complaint,
                evacuated,
            }) => {
                self.evacuated += u64::from(evacuated > 0);
                let verdict = expectation.judge(messages, &contents);
                self.lossy += u64::from(verdict.lost > 0);
                wrong.extend((!verdict.is_good()).then(|| verdict.to_string()));
                wrong.extend(complaint);
            }
        }
        if !wrong.is_empty() {
            self.failures.push(format!("{name}: {}", wrong.join("; ")));
        }
        wrong.is_empty()
    }
}
