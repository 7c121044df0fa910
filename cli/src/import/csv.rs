//! The UCI Online Retail file as typed rows: ids checked, money exact, times with their zone.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use ::csv::{ReaderBuilder, StringRecord};
use flate2::bufread::MultiGzDecoder;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schemas::{CustomerId, Quantity, Sku, Timestamp};

/// The columns, in the file's order.
const COLUMNS: [&str; 8] = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
];
/// What every gzip file begins with (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What one row may be worth at most, pence: so many rows fit 64 bits that sums need no checks.
const ROW_WORTH_MAX_MINOR: i64 = 1_000_000_000_000;
/// The service codes; what begins with [`VOUCHER_PREFIX`] is one as well, everything else is goods.
const SERVICE_CODES: [&str; 11] =
    ["POST", "M", "D", "DOT", "C2", "S", "B", "CRUK", "PADS", "AMAZONFEE", "BANK CHARGES"];
const VOUCHER_PREFIX: &str = "GIFT_";

/// Why the file cannot be read as what it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It has other columns.
    #[error("the first line is not {}", COLUMNS.join(","))]
    Columns,
    /// It cannot be read, or is no UTF-8 CSV.
    #[error("the file cannot be read as CSV in UTF-8")]
    Read(#[source] ::csv::Error),
    /// A row has no meaning.
    #[error(transparent)]
    Row(#[from] BadRow),
}

/// A row that has no meaning here; nothing is imported.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}: {problem}")]
pub(super) struct BadRow {
    /// Which data row, from 1.
    pub(super) row: u32,
    /// What is wrong with it.
    pub(super) problem: String,
}

impl BadRow {
    pub(super) fn new(row: u32, problem: impl Into<String>) -> Self {
        Self { row, problem: problem.into() }
    }
}

/// What an invoice number says of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// Digits: an order or a stock correction.
    Sale,
    /// `C…`: a cancellation.
    Cancellation,
    /// `A…`: an adjustment of bad debt.
    Adjustment,
}

/// One row of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Which data row, from 1.
    pub(super) number: u32,
    /// Invoice number as written.
    pub(super) invoice: Arc<str>,
    pub(super) document: Document,
    pub(super) sku: Sku,
    /// Without spaces around it; may be empty.
    pub(super) description: Arc<str>,
    pub(super) quantity: i64,
    pub(super) at: Timestamp,
    /// Pence per unit.
    pub(super) price_minor: i64,
    /// Whether the price is 0 as written, not only when rounded.
    pub(super) is_free: bool,
    /// None: a guest.
    pub(super) customer: Option<CustomerId>,
    pub(super) country: Arc<str>,
}

impl Row {
    /// Whether it has stock; a voucher under an ordinary code does.
    pub(super) fn is_goods(&self) -> bool {
        !SERVICE_CODES.contains(&self.sku.as_str()) && !self.sku.as_str().starts_with(VOUCHER_PREFIX)
    }

    /// What it is worth, pence; negative where the quantity or the price is.
    pub(super) fn worth_minor(&self) -> i64 {
        self.quantity * self.price_minor
    }
}

/// Reads the first `rows_max` rows (all, when none) of a file, plain or gzipped.
pub(super) fn read(source: impl Read, rows_max: Option<usize>) -> Result<Vec<Row>, FileError> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let is_gzip = source.fill_buf().map_err(|error| FileError::Read(error.into()))?.starts_with(&GZIP_MAGIC);
    if is_gzip { read_csv(MultiGzDecoder::new(source), rows_max) } else { read_csv(source, rows_max) }
}

fn read_csv(text: impl Read, rows_max: Option<usize>) -> Result<Vec<Row>, FileError> {
    // Flexible: a row of another length is told in our own words.
    let mut reader = ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text);
    let mut record = StringRecord::new();
    let has_header = reader.read_record(&mut record).map_err(FileError::Read)?;
    if !has_header || !record.iter().map(|column| column.trim_start_matches('\u{feff}')).eq(COLUMNS) {
        return Err(FileError::Columns);
    }
    let mut parser = Parser::new();
    let mut rows = Vec::new();
    while rows_max.is_none_or(|max| rows.len() < max)
        && reader.read_record(&mut record).map_err(FileError::Read)?
    {
        let number = u32::try_from(rows.len() + 1).map_err(|_| BadRow::new(u32::MAX, "too many rows"))?;
        rows.push(
            parser
                .row(&record)
                .map_err(|problem| BadRow::new(number, problem))
                .map(|row| Row { number, ..row })?,
        );
    }
    Ok(rows)
}

/// Parses rows; equal texts of different rows share their memory.
struct Parser {
    zone: TimeZone,
    texts: HashSet<Arc<str>>,
    skus: HashMap<String, Sku>,
    customers: HashMap<String, CustomerId>,
    /// The rows of an invoice have one time: the last one parsed is mostly the next one.
    last_time: (String, Timestamp),
}

impl Parser {
    fn new() -> Self {
        Self {
            zone: TimeZone::get("Europe/London").expect("the time zones are bundled"),
            texts: HashSet::new(),
            skus: HashMap::new(),
            customers: HashMap::new(),
            last_time: (String::new(), Timestamp::default()),
        }
    }

    fn row(&mut self, record: &StringRecord) -> Result<Row, String> {
        let fields: Vec<&str> = record.iter().map(str::trim).collect();
        let &[invoice, code, description, quantity, time, price, customer, country] = fields.as_slice()
        else {
            return Err(format!("{} fields instead of {}", fields.len(), COLUMNS.len()));
        };
        let quantity_number: i64 =
            quantity.parse().map_err(|_| format!("the quantity {quantity:?} is no number"))?;
        let price_exact = Pounds::parse(price).ok_or_else(|| format!("the price {price:?} is no number"))?;
        let price_minor = price_exact.pence().ok_or_else(|| format!("the price {price:?} is too large"))?;
        if quantity_number.unsigned_abs() > u64::from(Quantity::MAX) {
            return Err(format!("the quantity {quantity} is too large"));
        }
        if quantity_number.checked_mul(price_minor).is_none_or(|worth| worth.abs() > ROW_WORTH_MAX_MINOR) {
            return Err(format!("{quantity} times {price} is more than one row may be worth"));
        }
        Ok(Row {
            number: 0,
            invoice: self.text(invoice),
            document: document(invoice)?,
            sku: self.sku(code)?,
            description: self.text(description),
            quantity: quantity_number,
            at: self.time(time)?,
            price_minor,
            is_free: price_exact.is_zero(),
            customer: self.customer(customer)?,
            country: self.text(country),
        })
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    /// Trimmed and in upper case: `85123a` and `85123A` are one SKU.
    fn sku(&mut self, code: &str) -> Result<Sku, String> {
        if let Some(known) = self.skus.get(code) {
            return Ok(known.clone());
        }
        let sku = Sku::new(code.to_uppercase())
            .map_err(|error| format!("the stock code {code:?} is no SKU: {error}"))?;
        self.skus.insert(code.to_owned(), sku.clone());
        Ok(sku)
    }

    /// The number was written as a float, `17850.0`; empty is a guest.
    fn customer(&mut self, text: &str) -> Result<Option<CustomerId>, String> {
        let digits = text.strip_suffix(".0").unwrap_or(text);
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.customers.get(digits) {
            return Ok(Some(known.clone()));
        }
        let unknown = || format!("unknown customer number {text:?}");
        if !is_digits(digits) {
            return Err(unknown());
        }
        let customer = CustomerId::new(digits).map_err(|_| unknown())?;
        self.customers.insert(digits.to_owned(), customer.clone());
        Ok(Some(customer))
    }

    fn time(&mut self, text: &str) -> Result<Timestamp, String> {
        if self.last_time.0 != text {
            let unreadable = |_| format!("the time {text:?} is not like 2010-12-01 08:26:00");
            let civil: DateTime = text.parse().map_err(unreadable)?;
            // An hour that the clocks skip or repeat is taken as RFC 5545 does; the shop is closed at that time.
            let moment = civil.to_zoned(self.zone.clone()).map_err(unreadable)?.timestamp();
            self.last_time = (text.to_owned(), moment.into());
        }
        Ok(self.last_time.1)
    }
}

fn document(invoice: &str) -> Result<Document, String> {
    let (document, digits) = match invoice.as_bytes().first() {
        Some(b'C') => (Document::Cancellation, &invoice[1..]),
        Some(b'A') => (Document::Adjustment, &invoice[1..]),
        _ => (Document::Sale, invoice),
    };
    // 100 digits leave room for row and part within a reference's 128 bytes.
    if is_digits(digits) && digits.len() <= 100 {
        Ok(document)
    } else {
        Err(format!("unknown kind of invoice number {invoice:?}"))
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An amount of pounds as written: a sign and decimal digits, nothing rounded.
struct Pounds<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Pounds<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_number =
            all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        is_number.then_some(Self { is_negative, whole, fraction })
    }

    fn is_zero(&self) -> bool {
        self.whole.bytes().chain(self.fraction.bytes()).all(|digit| digit == b'0')
    }

    /// Pence, a half going away from zero, so that a price and its reversal cancel; none: too large.
    fn pence(&self) -> Option<i64> {
        let digit = |at: usize| i64::from(self.fraction.as_bytes().get(at).map_or(0, |digit| digit - b'0'));
        let whole: i64 = if self.whole.is_empty() { 0 } else { self.whole.parse().ok()? };
        // Half up looks at the third decimal alone: at 5 or more the rest is at least a half, below it is less.
        let below = digit(0) * 10 + digit(1) + i64::from(digit(2) >= 5);
        let pence = whole.checked_mul(100)?.checked_add(below)?;
        Some(if self.is_negative { -pence } else { pence })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn pence(text: &str) -> Option<i64> {
        Pounds::parse(text)?.pence()
    }

    fn one_row(row: &str) -> Result<Vec<Row>, String> {
        let text = format!("{}\n{row}\n", COLUMNS.join(","));
        read(text.as_bytes(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn pounds_become_pence_half_up_away_from_zero() {
        let cases = [
            ("2.55", 255),
            ("1.5", 150),
            ("0.001", 0),
            ("0.005", 1),
            ("1.115", 112),
            ("1.1149", 111),
            ("-11062.06", -1_106_206),
            ("-0.005", -1),
            ("0", 0),
            (".5", 50),
            ("3.", 300),
            ("165.0", 16_500),
        ];
        for (text, expected) in cases {
            assert_eq!(pence(text), Some(expected), "{text}");
        }
        for bad in ["", ".", "free", "1e2", "1,5", "--1", "NaN", "99999999999999999999"] {
            assert_eq!(pence(bad), None, "{bad}");
        }
        assert!(!Pounds::parse("0.001").unwrap().is_zero());
        assert!(Pounds::parse("-0.0").unwrap().is_zero());
    }

    #[test]
    fn a_row_is_trimmed_typed_and_in_london_time() {
        let rows =
            one_row("536365, 85123a ,\" HEART, WHITE \",6,2011-07-01 08:26:00,2.55,17850.0,United Kingdom")
                .unwrap();
        let row = &rows[0];
        assert_eq!(
            (row.number, &*row.invoice, row.sku.as_str(), &*row.description),
            (1, "536365", "85123A", "HEART, WHITE")
        );
        assert_eq!(row.at.to_string(), "2011-07-01T07:26:00.000Z", "British summer time");
        assert_eq!(row.customer.as_ref().unwrap().as_str(), "17850");
        assert!(row.is_goods() && !row.is_free);
        let service =
            |code: &str| !one_row(&format!("1,{code},,1,2011-01-01 08:00:00,1,,EIRE")).unwrap()[0].is_goods();
        assert!(service("BANK CHARGES") && service("gift_0001_20") && service("m") && !service("22016"));
    }

    #[test]
    fn rows_without_a_meaning_are_refused_by_number_and_reason() {
        for (row, problem) in [
            ("100,A1,CUP,1", "row 1: 4 fields instead of 8"),
            ("X1,A1,CUP,1,2011-01-01 08:00:00,1,1.0,UK", "row 1: unknown kind of invoice number \"X1\""),
            ("C,A1,CUP,1,2011-01-01 08:00:00,1,1.0,UK", "row 1: unknown kind of invoice number \"C\""),
            ("100,A1,CUP,1,2011-01-01 08:00:00,free,1.0,UK", "row 1: the price \"free\" is no number"),
            ("100,A1,CUP,one,2011-01-01 08:00:00,1,1.0,UK", "row 1: the quantity \"one\" is no number"),
            ("100,A1,CUP,1,2011-01-01 08:00:00,1,x.0,UK", "row 1: unknown customer number \"x.0\""),
            (
                "100,A1,CUP,1,yesterday,1,1.0,UK",
                "row 1: the time \"yesterday\" is not like 2010-12-01 08:26:00",
            ),
            (
                "100,A1,CUP,99999999999,2011-01-01 08:00:00,0,,UK",
                "row 1: the quantity 99999999999 is too large",
            ),
            ("100,A1,CUP,999999999,2011-01-01 08:00:00,999999999,,UK", "is more than one row may be worth"),
            ("100,,CUP,1,2011-01-01 08:00:00,1,1.0,UK", "row 1: the stock code \"\" is no SKU"),
        ] {
            let refusal = one_row(row).unwrap_err();
            assert!(refusal.contains(problem), "{row}: {refusal}");
        }
    }

    #[test]
    fn a_gzipped_file_reads_like_a_plain_one_and_a_prefix_like_its_rows() {
        let text = format!(
            "\u{feff}{}\n1,A,CUP,1,2011-01-01 08:00:00,1,,UK\n2,B,\u{a3} JAR,1,2011-01-01 09:00:00,1,7,UK\n",
            COLUMNS.join(",")
        );
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let rows = read(text.as_bytes(), None).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(read(&gzip[..], None).unwrap(), rows);
        assert_eq!(read(&gzip[..], Some(1)).unwrap(), rows[..1]);
        assert!(matches!(read(&gzip[..gzip.len() - 12], None), Err(FileError::Read(_))), "cut off");
    }

    #[test]
    fn a_file_of_another_shape_or_encoding_is_refused() {
        assert!(matches!(read(&b"a,b\n1,2\n"[..], None), Err(FileError::Columns)));
        assert!(matches!(read(&b""[..], None), Err(FileError::Columns)));
        let latin = [COLUMNS.join(",").as_bytes(), b"\n1,A,\xa3,1,2011-01-01 08:00:00,1,,UK\n"].concat();
        assert!(matches!(read(&latin[..], None), Err(FileError::Read(_))));
    }
}
