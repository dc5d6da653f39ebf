//! Prints what a copy of a directory takes of memory, an address: `cargo run --release --example copy [ADDRESSES]`.

use std::{error::Error, time::Instant};

use directory::copy::{Copy, Kind, Object};
use smtp::address::Address;

/// Addresses of one object, as accounts with their aliases have them.
const OF_ONE: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let began = Instant::now();
    let (mut copy, mut text) = (Copy::new(), 0);
    for n in 0..count / OF_ONE {
        let names = [format!("firstname.lastname{n}@example.com"), format!("flastname{n}@example.com")];
        let addresses = names.iter().map(|name| name.parse()).collect::<Result<Vec<Address>, _>>()?;
        text += names.iter().map(String::len).sum::<usize>();
        let id = format!("{n:08x}-0000-4000-8000-{n:012x}");
        copy.put(&Object::new(&id, Kind::User, &format!("Firstname Lastname {n}"), &names[0], &addresses)?)?;
    }
    copy.shrink();
    let filled = began.elapsed();
    let began = Instant::now();
    let mut found = 0;
    for n in 0..count / OF_ONE {
        let address: Address = format!("FLastname{n}@Example.com").parse()?;
        found += usize::from(copy.owner(&address).is_some());
    }
    let per = |octets: usize| octets as f64 / copy.addresses() as f64;
    println!(
        "addresses: {}, of {} objects; all found: {}",
        copy.addresses(),
        copy.len(),
        found == copy.len()
    );
    println!("memory: {} bytes; text of the addresses: {text} bytes", copy.memory());
    println!("beyond the text: {:.1} bytes an address (target: 100)", per(copy.memory() - text));
    println!(
        "filled in {filled:.1?}; a look-up takes {:.2?}",
        began.elapsed() / u32::try_from(found.max(1))?
    );
    Ok(())
}
