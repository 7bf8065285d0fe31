//! The purchases of the CDNOW data set.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use flate2::write::GzDecoder;
use serde::{Deserialize, Serialize};

/// One purchase of a customer at CDNOW, an online shop for music.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// 1 to 69,659: in the order of customer, then date.
    pub purchase_id: i64,
    /// Five digits with leading zeros, `00001` to `23570`.
    pub customer_id: String,
    /// 1997-01-01 to 1998-06-30.
    pub date: jiff::civil::Date,
    /// How many CDs.
    pub quantity: i64,
    /// What they cost, in dollars with two decimals: the text of the file, so that nothing is rounded.
    pub amount: String,
}

impl Purchase {
    /// [`Purchase::amount`] in cents.
    pub fn cents(&self) -> anyhow::Result<i64> {
        let (dollars, cents) = self.amount.split_once('.').context("an amount without a decimal point")?;
        anyhow::ensure!(cents.len() == 2, "an amount without two decimals: {:?}", self.amount);
        Ok(dollars.parse::<i64>()? * 100 + cents.parse::<i64>()?)
    }
}

/// Every purchase of `demo/cdnow.csv.gz`, in the order of the file.
///
/// # Panics
///
/// Where the file isn't the one that belongs there: no test of it would mean anything.
#[expect(clippy::panic, reason = "for tests")]
pub fn cdnow() -> Vec<Purchase> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/cdnow.csv.gz");
    read(&path).unwrap_or_else(|error| panic!("can't read {}: {error:#}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<Purchase>> {
    let mut decoder = GzDecoder::new(Vec::new());
    decoder.write_all(&std::fs::read(path)?)?;
    let text = decoder.finish()?;
    let purchases = csv::Reader::from_reader(text.as_slice()).into_deserialize().collect::<Result<_, _>>()?;
    Ok(purchases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_data_set_is_whole() {
        let purchases = cdnow();
        let cents = |purchase: &Purchase| purchase.cents().unwrap();
        let last_purchases: BTreeMap<_, _> =
            purchases.iter().map(|purchase| (purchase.customer_id.clone(), cents(purchase))).collect();

        assert_eq!(purchases.len(), 69_659);
        assert_eq!(purchases.iter().map(|purchase| purchase.quantity).sum::<i64>(), 167_881);
        assert_eq!(purchases.iter().map(cents).sum::<i64>(), 250_031_563);
        assert_eq!(last_purchases.len(), 23_570);
        assert_eq!(last_purchases.values().sum::<i64>(), 76_735_098);
    }
}
