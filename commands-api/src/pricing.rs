//! From what a buyer wants to order lines with price and tax.

use aggregate_host::ProductFacts;
use schemas::order::{LineKind, OrderLine};
use schemas::product::TaxClass;
use schemas::{Currency, ErrorCode, Money, MoneyError, Quantity, Sku};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TaxRates;
use crate::error::ApiError;

/// One line of an order to be. Buyers state `sku` and `quantity`; the rest is an importer's to state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineRequest {
    /// What.
    pub(crate) sku: Sku,
    /// How many.
    pub(crate) quantity: Quantity,
    /// Price of one; none: the product's list price. Stating one needs the import permission, as all below does.
    #[serde(default)]
    pub(crate) unit_price: Option<Money>,
    /// Goods or a service, which has no stock; none: as the product is, or goods where the price is stated.
    #[serde(default)]
    pub(crate) kind: Option<LineKind>,
    /// Its name; none: the product's, or the SKU where the price is stated.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Taken off the whole line; none: nothing.
    #[serde(default)]
    pub(crate) discount: Option<Money>,
    /// How it is taxed; none: as the product is, or at the standard rate where the price is stated.
    #[serde(default)]
    pub(crate) tax_class: Option<TaxClass>,
    /// The tax that the line's total includes; none: by the rate of its class.
    #[serde(default)]
    pub(crate) tax: Option<Money>,
}

impl LineRequest {
    /// The first field that only an importer may state, if there is one.
    pub(crate) fn importers_field(&self) -> Option<&'static str> {
        let stated = [
            ("unit_price", self.unit_price.is_some()),
            ("kind", self.kind.is_some()),
            ("name", self.name.is_some()),
            ("discount", self.discount.is_some()),
            ("tax_class", self.tax_class.is_some()),
            ("tax", self.tax.is_some()),
        ];
        stated.into_iter().find(|(_, stated)| *stated).map(|(field, _)| field)
    }

    /// The order line `number` of it. `product` is what the shop knows of the SKU; none: nothing.
    pub(crate) fn priced(
        self,
        number: u32,
        currency: Currency,
        product: Option<ProductFacts>,
        rates: &TaxRates,
    ) -> Result<OrderLine, ApiError> {
        let naming_line = |error: ApiError| error.fact("line", number).fact("sku", self.sku.as_str());
        let (unit_price, name, kind, tax_class) = match self.unit_price {
            Some(price) => (price, self.sku.as_str().to_owned(), LineKind::Goods, TaxClass::Standard),
            None => {
                let (product, price) = list_price(product, &self.sku, currency).map_err(naming_line)?;
                (price, product.name, product.kind, product.tax_class)
            }
        };
        let tax_class = self.tax_class.unwrap_or(tax_class);
        let discount = self.discount.unwrap_or(Money::zero(currency));
        let total = unit_price
            .checked_mul(self.quantity.get())
            .and_then(|gross| gross.checked_sub(discount))
            .map_err(|error| naming_line(error.into()))?;
        let tax = match self.tax {
            Some(tax) => tax,
            None => included_tax(total, rates.basis_points(tax_class))
                .map_err(|error| naming_line(error.into()))?,
        };
        Ok(OrderLine {
            line: number,
            sku: self.sku,
            kind: self.kind.unwrap_or(kind),
            name: self.name.unwrap_or(name),
            quantity: self.quantity,
            unit_price,
            discount,
            tax_class,
            tax,
            total,
        })
    }
}

fn list_price(
    product: Option<ProductFacts>,
    sku: &Sku,
    currency: Currency,
) -> Result<(ProductFacts, Money), ApiError> {
    let product = product.ok_or_else(|| {
        ApiError::of(ErrorCode::ProductNotFound).detail(format!("there is no product {sku}"))
    })?;
    if !product.for_sale {
        return Err(ApiError::of(ErrorCode::ProductNotPublished).detail(format!("{sku} is not for sale")));
    }
    let price = product.price.ok_or_else(|| {
        ApiError::of(ErrorCode::ProductNotPriced)
            .detail(format!("{sku} has no price in {currency}"))
            .fact("currency", currency.as_str())
    })?;
    Ok((product, price))
}

/// The tax that `total` includes at a rate, rounded half up (away from nothing) to a minor unit.
fn included_tax(total: Money, basis_points: u32) -> Result<Money, MoneyError> {
    const WHOLE: i128 = 10_000;
    let (amount, rate) = (i128::from(total.amount_minor), i128::from(basis_points));
    let divisor = WHOLE + rate;
    let rounded = (2 * amount.abs() * rate + divisor) / (2 * divisor);
    let tax = i64::try_from(rounded * amount.signum()).map_err(|_| MoneyError::Overflow)?;
    Ok(Money::new(tax, total.currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pounds(minor: i64) -> Money {
        Money::new(minor, Currency::GBP)
    }

    fn line(sku: &str, quantity: i64) -> LineRequest {
        serde_json::from_value(serde_json::json!({"sku": sku, "quantity": quantity})).unwrap()
    }

    fn mug() -> ProductFacts {
        ProductFacts {
            name: "Mug".to_owned(),
            kind: LineKind::Goods,
            tax_class: TaxClass::Standard,
            for_sale: true,
            price: Some(pounds(255)),
        }
    }

    #[test]
    fn a_line_takes_price_name_and_tax_class_from_the_product() {
        let rates = TaxRates { standard_basis_points: 2_000, reduced_basis_points: 500 };
        let priced = line("A", 3).priced(1, Currency::GBP, Some(mug()), &rates).unwrap();
        assert_eq!((priced.unit_price, priced.total, &*priced.name), (pounds(255), pounds(765), "Mug"));
        // 7.65 includes 1.275 of tax: half a penny goes up.
        assert_eq!((priced.tax, priced.tax_class), (pounds(128), TaxClass::Standard));
    }

    #[test]
    fn included_tax_rounds_half_up_and_zero_rates_tax_nothing() {
        assert_eq!(included_tax(pounds(120), 2_000), Ok(pounds(20)));
        assert_eq!(included_tax(pounds(3), 2_000), Ok(pounds(1)));
        assert_eq!(included_tax(pounds(2), 2_000), Ok(pounds(0)));
        assert_eq!(included_tax(pounds(-3), 2_000), Ok(pounds(-1)));
        assert_eq!(included_tax(pounds(i64::MAX), 0), Ok(pounds(0)));
        assert!(included_tax(pounds(i64::MAX), u32::MAX).is_ok());
    }

    #[test]
    fn what_is_not_sold_names_the_line() {
        let refused = |product: Option<ProductFacts>| {
            line("A", 1).priced(7, Currency::GBP, product, &TaxRates::default()).unwrap_err().problem
        };
        let cases = [
            (refused(None), "product_not_found"),
            (refused(Some(ProductFacts { for_sale: false, ..mug() })), "product_not_published"),
            (refused(Some(ProductFacts { price: None, ..mug() })), "product_not_priced"),
        ];
        for (problem, code) in cases {
            assert_eq!(
                (&*problem.code, &problem.facts["line"], &problem.facts["sku"]),
                (code, &7.into(), &"A".into())
            );
        }
    }

    #[test]
    fn stated_amounts_do_not_mix_currencies_or_wrap() {
        let mut mixed = line("A", 1);
        mixed.unit_price = Some(pounds(5));
        mixed.discount = Some(Money::new(1, Currency::EUR));
        let problem = mixed.priced(1, Currency::GBP, None, &TaxRates::default()).unwrap_err().problem;
        assert_eq!(problem.code, "currency_mismatch");
        let mut huge = line("A", 1_000_000_000);
        huge.unit_price = Some(pounds(i64::MAX));
        let problem = huge.priced(1, Currency::GBP, None, &TaxRates::default()).unwrap_err().problem;
        assert_eq!(problem.code, "invalid_value");
    }

    #[test]
    fn buyers_state_nothing_but_what_and_how_many() {
        assert_eq!(line("A", 1).importers_field(), None);
        for field in ["unit_price", "name", "discount", "tax_class", "tax", "kind"] {
            let mut stated = serde_json::json!({"sku": "A", "quantity": 1});
            stated[field] = match field {
                "name" => "Mug".into(),
                "tax_class" => "zero".into(),
                "kind" => "service".into(),
                _ => serde_json::json!({"amount_minor": 1, "currency": "GBP"}),
            };
            let stated: LineRequest = serde_json::from_value(stated).unwrap();
            assert_eq!(stated.importers_field(), Some(field));
        }
    }
}
