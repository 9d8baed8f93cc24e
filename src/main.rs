fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|a| a.parse().ok()).unwrap_or(4222);
    let shards: usize = args.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    weft::runtime::try_it(port, shards);
}
