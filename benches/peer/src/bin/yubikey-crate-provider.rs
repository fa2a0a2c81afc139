//! One read token through the `yubikey` crate, the way its documentation shows: open by number, sign. The signature is
//! verified before it is answered, with the p384 crate that the `yubikey` crate stands on. The key is named by the
//! environment (`PEER_SERIAL`, `PEER_INDEX`, `PEER_PUBLIC`; slot 82), which spares it a file.

use std::error::Error;
use std::io::{Write as _, stdin, stdout};

use asymmetric_token::{Claims, Footer, Prepared, PublicKey};
use p384::ecdsa::Signature;
use yubikey::piv::{AlgorithmId, RetiredSlotId, SlotId, sign_data};
use yubikey::{Serial, YubiKey};

fn main() -> Result<(), Box<dyn Error>> {
    stdout().write_all(b"{\"v\":[1]}\n")?;
    stdin().read_line(&mut String::new())?;
    let token = token()?;
    let answer = format!(
        r#"{{"Ok":{{"kind":"get","token":"{token}","cache":"never","operation_independent":false}}}}"#
    );
    writeln!(stdout(), "{answer}")?;
    Ok(())
}

fn token() -> Result<String, Box<dyn Error>> {
    let public: PublicKey = std::env::var("PEER_PUBLIC")?.parse()?;
    let serial: u32 = std::env::var("PEER_SERIAL")?.parse()?;
    let footer = Footer::new(std::env::var("PEER_INDEX")?, public.id());
    let mut card = YubiKey::open_by_serial(Serial::from(serial))?;
    let prepared = Prepared::new(&public, &Claims::read(jiff::Timestamp::now()), &footer)?;
    let slot = SlotId::Retired(RetiredSlotId::R1);
    let der = sign_data(&mut card, prepared.digest(), AlgorithmId::EccP384, slot)?;
    let signature = Signature::from_der(&der)?;
    let token = prepared.finish(&signature.to_bytes().into())?;
    // Its own end would reset the card.
    let _ = card.disconnect(pcsc::Disposition::LeaveCard);
    Ok(token)
}
