//! `aio receipt verify`: receipts computed again, offline, from nothing but themselves and their price list.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use domain::{
    Catalogue, Micros,
    receipt::{self, Arithmetic, Receipt},
};
use serde_json::{Value, json};

use crate::{args, say};

/// What is said of receipts: for machines, and for people.
struct Told {
    fits: bool,
    json: Value,
    lines: Vec<String>,
}

/// What a file holds.
#[derive(Debug)]
struct Read {
    receipts: Vec<Receipt>,
    /// How many operations have none: processes that died left them behind, and they are free.
    left: usize,
}

/// Runs one command. Exits 1 when a receipt does not fit.
pub(crate) fn run(command: &args::Receipt) -> anyhow::Result<ExitCode> {
    let args::Receipt::Verify { file, prices, json } = command;
    let Read { receipts, left } = read_receipts(&text_of(file)?)?;
    let prices = match prices {
        Some(file) => list_in(&text_of(file)?)?,
        None => own_list(&receipts)?,
    };
    let told = match (receipts.as_slice(), left) {
        ([receipt], 0) => verify(receipt, &prices),
        (receipts, left) => verify_all(receipts, left, &prices)?,
    };
    if *json {
        say::line(told.json);
    } else {
        for line in told.lines {
            say::line(line);
        }
    }
    Ok(if told.fits {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One receipt, with its arithmetic.
fn verify(receipt: &Receipt, prices: &Catalogue) -> Told {
    match receipt::recompute(prices, receipt) {
        Ok(Arithmetic { steps, total }) => Told {
            fits: true,
            json: json!({"fits": true, "total_microcredits": total.get(), "steps": steps}),
            lines: steps
                .into_iter()
                .chain(["the receipt fits".to_owned()])
                .collect(),
        },
        Err(misfits) => Told {
            fits: false,
            json: json!({"fits": false, "misfits": misfits}),
            lines: misfits
                .into_iter()
                .chain(["the receipt does NOT fit".to_owned()])
                .collect(),
        },
    }
}

/// Many receipts: what they come to together, and what is wrong with which.
fn verify_all(receipts: &[Receipt], left: usize, prices: &Catalogue) -> anyhow::Result<Told> {
    let (mut sum, mut wrong, mut lines) = (Micros::ZERO, Vec::new(), Vec::new());
    for (place, receipt) in (1..).zip(receipts) {
        match receipt::recompute(prices, receipt) {
            Ok(Arithmetic { total, .. }) => {
                sum = sum.plus(total).context("the receipts come to too much")?;
            }
            Err(misfits) => {
                let named = misfits
                    .iter()
                    .map(|misfit| format!("receipt {place}: {misfit}"));
                lines.extend(named);
                wrong.push(json!({"receipt": place, "misfits": misfits}));
            }
        }
    }
    let (count, fits) = (receipts.len(), wrong.is_empty());
    lines.push(if fits {
        format!("all {count} receipts fit; together they come to {sum} credits")
    } else {
        format!("{} of {count} receipts do NOT fit", wrong.len())
    });
    if left > 0 {
        lines.push(format!(
            "{left} operations that a process left behind when it died are free"
        ));
    }
    let json = json!({
        "fits": fits, "receipts": count, "left_behind": left, "total_microcredits": sum.get(), "misfits": wrong,
    });
    Ok(Told { fits, json, lines })
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

/// One receipt or many, one after another.
fn read_receipts(text: &str) -> anyhow::Result<Read> {
    let answers = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let read = |(place, answer): (usize, Result<Value, _>)| {
        let receipt = answer.context("it is not JSON");
        let receipt = receipt.and_then(|answer| {
            let left = is_left_behind(&answer);
            (!left).then(|| read_receipt(&answer)).transpose()
        });
        receipt.with_context(|| format!("receipt {place}"))
    };
    let read: Vec<Option<Receipt>> = (1..).zip(answers).map(read).collect::<Result<_, _>>()?;
    if read.is_empty() {
        bail!("there is no receipt");
    }
    let count = read.len();
    let receipts: Vec<Receipt> = read.into_iter().flatten().collect();
    let left = count.saturating_sub(receipts.len());
    Ok(Read { receipts, left })
}

/// Whether this is of an operation of which nothing is known but that its process died, and that it is free.
fn is_left_behind(answer: &Value) -> bool {
    let data = answer.get("data").unwrap_or(answer);
    let is_free = |of: &Value, amount: &str| of.get(amount).and_then(Value::as_i64) == Some(0);
    let died = |receipt: &Value| {
        let of_death = receipt.get("class").and_then(Value::as_str) == Some("process_died");
        of_death && receipt.get("receipt").is_none() && is_free(receipt, "total_microcredits")
    };
    match data.get("receipt") {
        Some(receipt) if receipt.is_null() => is_free(data, "charged_microcredits"),
        Some(receipt) => died(receipt) && is_free(data, "charged_microcredits"),
        None => died(data),
    }
}

/// A receipt, in the envelope of the API or bare.
fn read_receipt(answer: &Value) -> anyhow::Result<Receipt> {
    let data = answer.get("data").unwrap_or(answer);
    let bare = data.get("receipt").filter(|inner| inner.is_object());
    let bare = bare.unwrap_or(data).clone();
    serde_json::from_value(bare).context("this is not a receipt")
}

/// A price list, in the envelope of the API or as it is.
fn list_in(text: &str) -> anyhow::Result<Catalogue> {
    let list = match serde_json::from_str::<Value>(text) {
        Err(_) => text.to_owned(),
        Ok(answer) => {
            let list = answer.get("data").unwrap_or(&answer).get("list");
            let list = list.and_then(Value::as_str);
            list.context("this is not a price list")?.to_owned()
        }
    };
    Catalogue::from_list(&list).context("the price list cannot be read")
}

/// The list compiled in, if it is the one that they all name.
fn own_list(receipts: &[Receipt]) -> anyhow::Result<Catalogue> {
    let catalogue = Catalogue::built_in()?;
    let own = catalogue.version();
    let other = receipts.iter().find(|receipt| receipt.price_version != own);
    let Some(other) = other else {
        return Ok(catalogue);
    };
    let version = &other.price_version;
    bail!(
        "a receipt names the price list {version}; this program has {own}: name the other by --prices, from GET /api/v1/admin/price-lists/{version}"
    )
}

#[cfg(test)]
mod tests {
    use domain::{
        Moment, PriceFactor,
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
            tags: domain::Tags::default(),
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
            assert_eq!(read_receipt(text).unwrap(), receipt);
        }
        let many = read_receipts(&format!("{bare}\n{envelope} {nested}")).unwrap();
        assert_eq!(many.left, 0);
        assert_eq!(many.receipts, [receipt.clone(), receipt.clone(), receipt]);
        for text in ["{}", "", "x"] {
            assert!(read_receipts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_dead_process_left_behind_is_free_and_no_receipt() {
        let short = json!({"class": "process_died", "total_microcredits": 0});
        let operation = |receipt: &Value, charged: i64| json!({"data": {"receipt": receipt, "charged_microcredits": charged}});
        let swept = operation(&short, 0);
        let expired = operation(&Value::Null, 0);
        let read = read_receipts(&format!("{short} {swept} {expired}")).unwrap();
        assert_eq!((read.receipts.len(), read.left), (0, 3));
        let told = verify_all(&[], read.left, &Catalogue::built_in().unwrap()).unwrap();
        assert!(told.fits && told.json["left_behind"] == 3, "{}", told.json);
        let dear = json!({"class": "process_died", "total_microcredits": 7});
        let other = json!({"class": "completed", "total_microcredits": 0});
        for charged in [
            operation(&Value::Null, 7),
            operation(&short, 7),
            operation(&dear, 7),
            operation(&other, 0),
        ] {
            assert!(read_receipts(&charged.to_string()).is_err(), "{charged}");
        }
    }

    #[test]
    fn of_many_receipts_the_one_that_does_not_fit_is_named() {
        let (good, prices) = (receipt(), Catalogue::built_in().unwrap());
        let bad = Receipt {
            total_microcredits: 7,
            ..good.clone()
        };
        let told = verify_all(&[good.clone(), bad, good.clone()], 0, &prices).unwrap();
        assert!(!told.fits);
        assert!(told.lines[0].starts_with("receipt 2: "), "{:?}", told.lines);
        let told = verify_all(&[good.clone(), good], 0, &prices).unwrap();
        assert_eq!(
            told.lines,
            ["all 2 receipts fit; together they come to 0 credits"]
        );
    }

    #[test]
    fn a_list_is_read_as_it_is_and_in_the_envelope() {
        let list = Catalogue::built_in().unwrap().list().to_owned();
        let envelope = serde_json::json!({"code": 200, "data": {"version": "v", "list": list}});
        for text in [&list, &envelope.to_string()] {
            assert_eq!(list_in(text).unwrap().list(), list);
        }
        assert!(list_in("{}").is_err());
        let other = Receipt {
            price_version: "0".repeat(16),
            ..receipt()
        };
        assert!(own_list(&[receipt(), other]).is_err());
    }
}
