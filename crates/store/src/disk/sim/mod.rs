//! A simulated disk that loses, tears and reorders what was not synced, and fails calls, from a seed.
