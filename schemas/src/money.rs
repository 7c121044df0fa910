//! Money: integer minor units and a currency that knows its exponent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why money arithmetic or parsing was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a code of ISO 4217 that Millrace knows.
    #[error("{code:?} is not an ISO 4217 currency code")]
    UnknownCurrency {
        /// What was given.
        code: String,
    },
    /// Two amounts of different currencies met.
    #[error("{left} and {right} cannot be added up")]
    CurrencyMismatch {
        /// Currency of the first amount.
        left: Currency,
        /// Currency of the second.
        right: Currency,
    },
    /// The result does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
}

/// ISO 4217: codes by exponent (how many decimals the minor unit has). Funds and test codes are left out.
const EXPONENT_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const EXPONENT_3: &str = "BHD IQD JOD KWD LYD OMR TND";
const EXPONENT_2: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY \
     COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR \
     JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO \
     NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB \
     TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG";

/// An ISO 4217 currency. Its exponent says how many decimals a minor unit has: JPY 0, GBP 2, KWD 3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "GBP")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Pound sterling.
    pub const GBP: Currency = Currency(*b"GBP");
    /// Euro.
    pub const EUR: Currency = Currency(*b"EUR");
    /// Yen: no minor unit.
    pub const JPY: Currency = Currency(*b"JPY");

    /// The code, three upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency is made of ASCII letters")
    }

    /// Decimals of the minor unit: 0, 2 or 3.
    pub fn exponent(self) -> u32 {
        let listed = |list: &str| list.split_ascii_whitespace().any(|code| code.as_bytes() == self.0);
        if listed(EXPONENT_0) {
            0
        } else if listed(EXPONENT_3) {
            3
        } else {
            2
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        // The commonest first: parsing is on the path of every event.
        if code == "GBP" {
            return Ok(Self::GBP);
        }
        let known = [EXPONENT_2, EXPONENT_0, EXPONENT_3]
            .iter()
            .flat_map(|list| list.split_ascii_whitespace())
            .find(|known| *known == code);
        match known.map(str::as_bytes) {
            Some(&[a, b, c]) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::UnknownCurrency { code: code.chars().take(16).collect() }),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

avro_as!(Currency, apache_avro::Schema::String);

/// An amount of money. Negative amounts are allowed where the field says so.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, apache_avro::AvroSchema, utoipa::ToSchema,
)]
#[avro(namespace = "millrace")]
pub struct Money {
    /// Minor units of the currency (pence for GBP, yen for JPY).
    pub amount_minor: i64,
    /// ISO 4217 code; its exponent says how many decimals a minor unit has.
    pub currency: Currency,
}

impl Money {
    /// `amount_minor` minor units.
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }

    /// Nothing.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.amount_minor == 0
    }

    /// Sum of two amounts of one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// Difference of two amounts of one currency.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// The amount `times` over.
    pub fn checked_mul(self, times: i64) -> Result<Self, MoneyError> {
        self.amount_minor.checked_mul(times).map(|m| Self::new(m, self.currency)).ok_or(MoneyError::Overflow)
    }

    fn combine(self, other: Self, operation: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency });
        }
        let amount = operation(self.amount_minor, other.amount_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10u64.pow(exponent);
        let (sign, minor) = (if self.amount_minor < 0 { "-" } else { "" }, self.amount_minor.unsigned_abs());
        if exponent == 0 {
            write!(f, "{sign}{minor} {}", self.currency)
        } else {
            let width = exponent as usize;
            write!(f, "{sign}{}.{:0width$} {}", minor / unit, minor % unit, self.currency)
        }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_with_their_currency_s_decimals() {
        assert_eq!(Money::new(-5, Currency::GBP).to_string(), "-0.05 GBP");
        assert_eq!(Money::new(1500, Currency::JPY).to_string(), "1500 JPY");
        assert_eq!(Money::new(1500, "KWD".parse().unwrap()).to_string(), "1.500 KWD");
    }

    #[test]
    fn currencies_do_not_mix_and_sums_do_not_wrap() {
        let pound = Money::new(1, Currency::GBP);
        assert!(matches!(
            pound.checked_add(Money::new(1, Currency::EUR)),
            Err(MoneyError::CurrencyMismatch { .. })
        ));
        assert_eq!(pound.checked_add(Money::new(i64::MAX, Currency::GBP)), Err(MoneyError::Overflow));
        assert!("XYZ".parse::<Currency>().is_err());
    }
}
