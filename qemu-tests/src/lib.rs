//! Boots the image and drives it with real peers.
