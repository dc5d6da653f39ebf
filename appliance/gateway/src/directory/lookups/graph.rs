//! A tenant of Microsoft 365, of which a copy is kept.

use std::{sync::Arc, time::Duration};

use config_schema::{UserLookup, user_lookup::entra_id::EntraId};
use control::operation::{LookupView, time};
use directory::{answer::LookupAnswer, graph::Held};
use smtp::address::Address;
use store::{StoreError, Timestamp};

use super::{Lookup, blank};
use crate::{appliance::Appliance, delivery::Prober, directory::graph::Graph, transport::Boxed};

/// How long a read that was asked for is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct GraphLookup {
    given: Arc<UserLookup>,
    graph: Graph,
}

impl GraphLookup {
    pub(super) async fn start(
        appliance: &Appliance,
        prober: &Prober,
        given: &UserLookup,
        entra: &EntraId,
    ) -> Result<GraphLookup, StoreError> {
        let (transport, resolver) = (prober.transport(), prober.resolver());
        let graph =
            Graph::start(appliance.clone(), transport, resolver, given.name.clone(), entra.clone()).await?;
        Ok(GraphLookup { given: Arc::new(given.clone()), graph })
    }

    /// When every collection was last known to be as in the directory.
    fn whole_as_of(&self) -> Option<u64> {
        let status = self.graph.status();
        status.collections.iter().map(|(_, _, at)| *at).min().flatten()
    }
}

impl Lookup for GraphLookup {
    fn ask<'a>(&'a self, address: &'a Address) -> Boxed<'a, LookupAnswer> {
        Box::pin(self.graph.lookup(address))
    }

    fn view(&self) -> LookupView {
        let status = self.graph.status();
        let objects: usize = status.collections.iter().map(|(_, objects, _)| objects).sum();
        let synced_at = self.whole_as_of().map(|at| time(Timestamp::from_unix_seconds(at)));
        let state = match &status.fault {
            Some(fault) => fault.to_string(),
            None if synced_at.is_some() => format!("keeps a copy of {objects} objects"),
            None => "reads for the first time".to_owned(),
        };
        let denied = status.denied.iter().map(|collection| {
            format!(
                "the application lacks the permission {} that {collection:?} need",
                collection.permission()
            )
        });
        LookupView {
            synced_at,
            held: status.held.as_ref().map(held),
            alarms: denied.collect(),
            ..blank(&self.given, &state)
        }
    }

    fn sync(&self) -> Boxed<'_, Result<(), String>> {
        Box::pin(async {
            let before = self.graph.status().failed;
            let round = self.graph.read_now().await;
            let over = async {
                loop {
                    tokio::time::sleep(LOOK).await;
                    let status = self.graph.status();
                    let over = status.rounds >= round || status.failed > before;
                    match status.fault {
                        Some(fault) if over => return Err(fault.to_string()),
                        None if over => return Ok(()),
                        _ => {}
                    }
                }
            };
            let late = || Err(format!("it is not over after {} s, and goes on", PATIENCE.as_secs()));
            tokio::time::timeout(PATIENCE, over).await.unwrap_or_else(|_| late())
        })
    }

    fn end(&self) -> Boxed<'_, ()> {
        Box::pin(self.graph.end())
    }

    fn confirm(&self) -> Boxed<'_, Result<(), String>> {
        Box::pin(async {
            if self.graph.confirm().await { Ok(()) } else { Err("nothing is held".to_owned()) }
        })
    }
}

fn held(held: &Held) -> String {
    let losses =
        held.losses.iter().map(|loss| format!("{} of {} addresses of {}", loss.lost, loss.of, loss.domain));
    let losses: Vec<String> = losses.collect();
    format!("the last read would remove {}: confirm it, or mend the directory", losses.join(", "))
}
