//! Backtests of journals that a recording engine wrote.
