//! Sets of images.

/// A set of images, each a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Members(Vec<u64>);

impl Members {
    /// No image, of so many that there are.
    pub(crate) fn none(images: usize) -> Self {
        Self(vec![0; images.div_ceil(64)])
    }

    pub(crate) fn insert(&mut self, image: usize) {
        self.0[image / 64] |= 1 << (image % 64);
    }

    pub(crate) fn remove(&mut self, image: usize) {
        self.0[image / 64] &= !(1 << (image % 64));
    }

    pub(crate) fn has(&self, image: usize) -> bool {
        self.0[image / 64] >> (image % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The images of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.zip(other).map(|(a, b)| a & b).collect())
    }

    /// The images that `other` has not.
    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(self.zip(other).map(|(a, b)| a & !b).collect())
    }

    /// Whether all of `other` are in it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        self.zip(other).all(|(a, b)| b & !a == 0)
    }

    /// How many images both have.
    pub(crate) fn common(&self, other: &Self) -> usize {
        self.zip(other)
            .map(|(a, b)| (a & b).count_ones() as usize)
            .sum()
    }

    /// The numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(at, &word)| {
            let next = |left: &u64| Some(left & (left - 1)).filter(|&left| left != 0);
            let lefts = std::iter::successors(Some(word).filter(|&word| word != 0), next);
            lefts.map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }

    fn zip(&self, other: &Self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied().zip(other.0.iter().copied())
    }
}
