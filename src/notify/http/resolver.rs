//! Gives a connection the addresses that its target may have, looked up for each connection anew: what a name stands for
//! is judged where it is used, so that it cannot change in between.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::notify::address::{LookUp, addresses};

/// A target's resolver.
pub(super) struct Resolver<L> {
    allow: Arc<[IpNet]>,
    look_up: Arc<L>,
}

impl<L: LookUp> Resolver<L> {
    pub(super) fn new(allow: Vec<IpNet>, look_up: L) -> Resolver<L> {
        Resolver {
            allow: allow.into(),
            look_up: Arc::new(look_up),
        }
    }
}

impl<L: LookUp> Resolve for Resolver<L> {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow, look_up) = (Arc::clone(&self.allow), Arc::clone(&self.look_up));
        Box::pin(async move {
            let found = addresses(name.as_str(), &allow, &*look_up).await?;
            // Port 0 stands for that of the address in the settings.
            let found: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(found)
        })
    }
}
