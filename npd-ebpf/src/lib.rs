//! The layout of what the kernel programs send, shared by both sides of the boundary.
#![no_std]
