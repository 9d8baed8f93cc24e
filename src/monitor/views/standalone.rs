//! Pages of what a lone server has none of: routes, leaf nodes, gateways, Raft groups, internal
//! queues. Arguments are checked as if there were some.

use std::collections::BTreeMap;

use serde::Serialize;

use super::go_text::timestamp;
use super::{Args, Refusal};
use crate::monitor::facts::ServerFacts;
use crate::types::Wall;

#[derive(Serialize, Debug)]
enum Nothing {}

#[derive(Serialize, Debug)]
pub struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    num_routes: u64,
    routes: [Nothing; 0],
}

pub fn routez<'a>(facts: &'a ServerFacts, args: &Args, now: Wall) -> Result<Routez<'a>, Refusal> {
    if !args.text("subs").eq_ignore_ascii_case("detail") {
        args.bool("subs")?;
    }
    Ok(Routez {
        server_id: &facts.server_id,
        server_name: &facts.server_name,
        now: timestamp(now),
        num_routes: 0,
        routes: [],
    })
}

#[derive(Serialize, Debug)]
pub struct Leafz<'a> {
    server_id: &'a str,
    now: String,
    leafnodes: u64,
    leafs: [Nothing; 0],
}

pub fn leafz<'a>(facts: &'a ServerFacts, args: &Args, now: Wall) -> Result<Leafz<'a>, Refusal> {
    args.bool("subs")?;
    Ok(Leafz { server_id: &facts.server_id, now: timestamp(now), leafnodes: 0, leafs: [] })
}

#[derive(Serialize, Debug)]
pub struct Gatewayz<'a> {
    server_id: &'a str,
    now: String,
    outbound_gateways: BTreeMap<&'a str, Nothing>,
    inbound_gateways: BTreeMap<&'a str, Nothing>,
}

pub fn gatewayz<'a>(
    facts: &'a ServerFacts,
    args: &Args,
    now: Wall,
) -> Result<Gatewayz<'a>, Refusal> {
    args.bool("subs")?;
    args.bool("accs")?;
    Ok(Gatewayz {
        server_id: &facts.server_id,
        now: timestamp(now),
        outbound_gateways: BTreeMap::new(),
        inbound_gateways: BTreeMap::new(),
    })
}

pub fn raftz() -> Refusal {
    Refusal::NoRaft
}

/// Queues by name. With `all=1` the reference lists its idle ones too; between our threads there
/// are only lanes, and `/varz` counts what they carry.
pub type IpQueuesz = BTreeMap<&'static str, u64>;

pub fn ipqueuesz(args: &Args) -> Result<IpQueuesz, Refusal> {
    args.bool("all")?;
    Ok(IpQueuesz::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::fixtures::{NOW, facts, shape};
    use crate::monitor::views::json;

    #[test]
    fn shapes() {
        let (facts, none) = (facts(), Args::default());
        assert_eq!(
            shape(&routez(&facts, &none, NOW).unwrap()),
            "server_id:str server_name:str now:str num_routes:num routes:[]"
        );
        assert_eq!(
            shape(&leafz(&facts, &none, NOW).unwrap()),
            "server_id:str now:str leafnodes:num leafs:[]"
        );
        assert_eq!(
            shape(&gatewayz(&facts, &none, NOW).unwrap()),
            "server_id:str now:str outbound_gateways:{} inbound_gateways:{}"
        );
        assert_eq!(json::pretty(&ipqueuesz(&none).unwrap()), b"{}");
        assert_eq!(
            (raftz().status(), raftz().to_string().as_str()),
            (404, "No Raft nodes registered")
        );
    }

    #[test]
    fn arguments_are_checked() {
        let facts = facts();
        let refused = |page: &str, query: &str| {
            let args = Args::parse(query);
            match page {
                "routez" => routez(&facts, &args, NOW).err(),
                "leafz" => leafz(&facts, &args, NOW).err(),
                "gatewayz" => gatewayz(&facts, &args, NOW).err(),
                _ => ipqueuesz(&args).err(),
            }
            .map(|refusal| refusal.to_string())
        };
        let bad_bools = [
            ("routez", "subs"),
            ("leafz", "subs"),
            ("gatewayz", "subs"),
            ("gatewayz", "accs"),
            ("ipqueuesz", "all"),
        ];
        for (page, key) in bad_bools {
            let expected = format!(
                "Error decoding boolean for '{key}': strconv.ParseBool: parsing \"x\": invalid syntax"
            );
            assert_eq!(refused(page, &format!("{key}=x")), Some(expected), "{page}");
        }
        assert_eq!(refused("routez", "subs=DETAIL"), None);
    }
}
