//! Who is told how far a load is.

use image::Layer;

/// Is told how far the loading is. Calls come from two threads.
pub trait Observer: Sync {
    /// It is known what is missing: so many layers of so many are sent, with this many bytes
    /// if that is known already.
    fn missing(&self, layers: usize, of: usize, bytes: Option<u64>);

    /// A layer is about to be sent, as so many bytes if that is known already.
    fn layer(&self, index: usize, of: usize, layer: &Layer<'_>, size: Option<u64>);

    /// Some bytes were sent.
    fn bytes(&self, count: u64);

    /// Something is not as it should be, though the image will be loaded all the same.
    fn warning(&self, text: &str);

    /// The engine lacks a layer that it seemed to have: everything is sent now.
    fn again(&self);
}
