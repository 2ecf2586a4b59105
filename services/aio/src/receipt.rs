//! `aio receipt verify`: a receipt computed again, offline, from nothing but itself and its price list.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use domain::{
    Catalogue,
    receipt::{self, Arithmetic, Receipt},
};
use serde_json::{Value, json};

use crate::{args, say};

/// Runs one command. Exits 1 when the receipt does not fit.
pub(crate) fn run(command: &args::Receipt) -> anyhow::Result<ExitCode> {
    let args::Receipt::Verify { file, prices, json } = command;
    let receipt = read_receipt(&text_of(file)?)?;
    let list = match prices {
        Some(file) => list_in(&text_of(file)?)?,
        None => own_list(&receipt.price_version)?,
    };
    let (told, lines, verdict, code) = match receipt::recompute(&list, &receipt) {
        Ok(Arithmetic { steps, total }) => {
            let total = total.get();
            let told = json!({"fits": true, "total_microcredits": total, "steps": steps});
            (told, steps, "the receipt fits", ExitCode::SUCCESS)
        }
        Err(misfits) => {
            let told = json!({"fits": false, "misfits": misfits});
            (told, misfits, "the receipt does NOT fit", ExitCode::FAILURE)
        }
    };
    if *json {
        say::line(told);
        return Ok(code);
    }
    for line in lines {
        say::line(line);
    }
    say::line(verdict);
    Ok(code)
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A receipt, in the envelope of the API or bare.
fn read_receipt(text: &str) -> anyhow::Result<Receipt> {
    let answer: Value = serde_json::from_str(text).context("the receipt is not JSON")?;
    let data = answer.get("data").unwrap_or(&answer);
    let bare = data.get("receipt").filter(|inner| inner.is_object());
    let bare = bare.unwrap_or(data).clone();
    serde_json::from_value(bare).context("this is not a receipt")
}

/// A price list, in the envelope of the API or as it is.
fn list_in(text: &str) -> anyhow::Result<String> {
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        return Ok(text.to_owned());
    };
    let list = answer.get("data").unwrap_or(&answer).get("list");
    let list = list
        .and_then(Value::as_str)
        .context("this is not a price list")?;
    Ok(list.to_owned())
}

/// The list compiled in, if it is the one that is asked for.
fn own_list(version: &str) -> anyhow::Result<String> {
    let catalogue = Catalogue::built_in()?;
    if catalogue.version() == version {
        return Ok(catalogue.list().to_owned());
    }
    bail!(
        "the receipt names the price list {version}; this program has {}: name the other by --prices, from GET /api/v1/admin/price-lists/{version}",
        catalogue.version()
    )
}

#[cfg(test)]
mod tests {
    use domain::{
        Micros, Moment, PriceFactor,
        charge::{Ending, Kind},
        price::Frozen,
        receipt::Subject,
    };

    use super::*;

    fn receipt() -> Receipt {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("flux-2").unwrap();
        let resolved = serde_json::json!({"type": "pro", "resolution": "1K"});
        let resolved = resolved.as_object().unwrap();
        let frozen = Frozen::of(model, resolved, Moment::default(), PriceFactor::ONE).unwrap();
        Receipt::of(Subject {
            route: model.route.clone(),
            kind: Kind::Media,
            model: model.slug.clone(),
            price_version: catalogue.version().to_owned(),
            applied: frozen.applied,
        })
        .free(Ending::Cancelled, Micros::from_credits(5))
    }

    #[test]
    fn a_receipt_is_read_bare_and_in_the_envelope() {
        let receipt = receipt();
        let bare = serde_json::to_value(&receipt).unwrap();
        let envelope = serde_json::json!({"code": 200, "message": "success", "data": bare});
        let nested = serde_json::json!({"data": {"operation_id": "op_1", "receipt": bare}});
        for text in [&bare, &envelope, &nested] {
            assert_eq!(read_receipt(&text.to_string()).unwrap(), receipt);
        }
        assert!(read_receipt("{}").is_err());
    }

    #[test]
    fn a_list_is_read_as_it_is_and_in_the_envelope() {
        let list = Catalogue::built_in().unwrap().list().to_owned();
        let envelope = serde_json::json!({"code": 200, "data": {"version": "v", "list": list}});
        assert_eq!(list_in(&list).unwrap(), list);
        assert_eq!(list_in(&envelope.to_string()).unwrap(), list);
        assert!(own_list("0000000000000000").is_err());
    }
}
