pub(super) mod vectors;
