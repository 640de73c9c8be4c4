//! One line of an order.

use contracts::event_data::OrderItemData;
use contracts::money::MoneyError;
use contracts::{Money, Quantity, Sku};

/// What the catalogue says of a product at the moment of placing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedProduct {
    /// What.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// The price of one.
    pub price: Money,
}

/// Units of one product at the price they were ordered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineItem {
    /// What.
    pub sku: Sku,
    /// Its name when ordered.
    pub name: String,
    /// How many.
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: Money,
    /// The price of all.
    pub line_total: Money,
}

impl LineItem {
    /// So many of this product.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn new(product: &PricedProduct, quantity: Quantity) -> Result<Self, MoneyError> {
        Ok(Self {
            sku: product.sku.clone(),
            name: product.name.clone(),
            quantity,
            unit_price: product.price,
            line_total: product.price.checked_mul(quantity.get())?,
        })
    }

    /// The line as events and stores hold it.
    pub fn to_data(&self) -> OrderItemData {
        OrderItemData {
            sku: self.sku.clone(),
            name: self.name.clone(),
            quantity: self.quantity.get(),
            unit_price: self.unit_price,
            line_total: self.line_total,
        }
    }

    /// The line from what a store holds; `None` if it holds no valid quantity.
    pub fn from_data(data: OrderItemData) -> Option<Self> {
        Some(Self {
            sku: data.sku,
            name: data.name,
            quantity: Quantity::try_from(data.quantity).ok()?,
            unit_price: data.unit_price,
            line_total: data.line_total,
        })
    }
}
