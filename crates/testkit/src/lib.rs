//! Models, crash loops, fault plans and runners of foreign clients.
