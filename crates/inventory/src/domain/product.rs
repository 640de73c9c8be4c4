//! A product of the catalogue.

use contracts::{Sku, Timestamp};

use super::error::CatalogueError;
use super::stock::{BelowReserved, Stock};
use super::values::{Count, Description, ImageUrl, Price, ProductName, Tags};

/// What a product is shown as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductDetails {
    /// What it is called.
    pub name: ProductName,
    /// What it is.
    pub description: Description,
    /// Where a picture of it is.
    pub image_url: ImageUrl,
    /// By which words it is found.
    pub tags: Tags,
}

/// What is to be different about a product; what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProductChanges {
    /// A new name.
    pub name: Option<ProductName>,
    /// A new description.
    pub description: Option<Description>,
    /// Another picture.
    pub image_url: Option<ImageUrl>,
    /// Tags instead of those that it has.
    pub tags: Option<Tags>,
}

/// A product and its stock: what the catalogue shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    sku: Sku,
    details: ProductDetails,
    price: Price,
    stock: Stock,
    version: u64,
    updated_at: Timestamp,
}

/// What is asked of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductCommand {
    /// Show it differently.
    Update(ProductChanges),
    /// Let it cost this.
    SetPrice(Price),
    /// So many are on the shelf.
    SetStock {
        /// Units counted.
        on_hand: Count,
        /// Why the count changed; kept in the ledger.
        reason: String,
    },
}

/// What happened to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductEvent {
    /// It joined the catalogue.
    Created,
    /// It is shown differently.
    Updated,
    /// It costs something else.
    PriceChanged,
    /// Its counted stock was set.
    StockChanged,
}

/// An entry of the stock ledger that a count makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedMovement {
    /// Units more (or, below zero, fewer) than before.
    pub quantity: i64,
    /// Why.
    pub reason: String,
}

/// What is to be saved with a product after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductChange {
    /// What happened.
    pub event: ProductEvent,
    /// What the ledger is told, if units came or went.
    pub movement: Option<CountedMovement>,
}

impl Product {
    /// A new product, and what is to be saved with it.
    pub fn create(
        sku: Sku,
        details: ProductDetails,
        price: Price,
        on_hand: Count,
        now: Timestamp,
    ) -> (Self, ProductChange) {
        let mut stock = Stock::default();
        // Nothing is reserved of what was not there: counting it can't be refused.
        let quantity = stock.count(on_hand).unwrap_or(0);
        let movement = (quantity != 0).then(|| CountedMovement { quantity, reason: "joined the catalogue".to_owned() });
        let product = Self { sku, details, price, stock, version: 1, updated_at: now };
        (product, ProductChange { event: ProductEvent::Created, movement })
    }

    /// What a store holds.
    pub fn from_stored(
        sku: Sku,
        details: ProductDetails,
        price: Price,
        stock: Stock,
        version: u64,
        updated_at: Timestamp,
    ) -> Self {
        Self { sku, details, price, stock, version, updated_at }
    }

    /// What tells it from all others.
    pub const fn sku(&self) -> &Sku {
        &self.sku
    }

    /// What it is shown as.
    pub const fn details(&self) -> &ProductDetails {
        &self.details
    }

    /// What one unit costs.
    pub const fn price(&self) -> Price {
        self.price
    }

    /// Units on hand and reserved.
    pub const fn stock(&self) -> Stock {
        self.stock
    }

    /// Grows by one with every change of what it is shown as, its price or its counted stock; 1 at first.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// When it last changed in one of those ways.
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Does what is asked; `None` when everything is so already, and then there is nothing to save.
    ///
    /// # Errors
    /// [`CatalogueError::StockBelowReserved`]; the product stays as it is.
    pub fn apply(&mut self, command: ProductCommand, now: Timestamp) -> Result<Option<ProductChange>, CatalogueError> {
        let change = match command {
            ProductCommand::Update(changes) => self.update(changes),
            ProductCommand::SetPrice(price) => self.set_price(price),
            ProductCommand::SetStock { on_hand, reason } => self.set_stock(on_hand, reason)?,
        };
        if change.is_some() {
            self.version += 1;
            self.updated_at = now;
        }
        Ok(change)
    }

    fn update(&mut self, changes: ProductChanges) -> Option<ProductChange> {
        let ProductChanges { name, description, image_url, tags } = changes;
        let details = ProductDetails {
            name: name.unwrap_or_else(|| self.details.name.clone()),
            description: description.unwrap_or_else(|| self.details.description.clone()),
            image_url: image_url.unwrap_or_else(|| self.details.image_url.clone()),
            tags: tags.unwrap_or_else(|| self.details.tags.clone()),
        };
        if details == self.details {
            return None;
        }
        self.details = details;
        Some(ProductChange { event: ProductEvent::Updated, movement: None })
    }

    fn set_price(&mut self, price: Price) -> Option<ProductChange> {
        if price == self.price {
            return None;
        }
        self.price = price;
        Some(ProductChange { event: ProductEvent::PriceChanged, movement: None })
    }

    fn set_stock(&mut self, on_hand: Count, reason: String) -> Result<Option<ProductChange>, CatalogueError> {
        let quantity = self.stock.count(on_hand).map_err(|BelowReserved { wanted, reserved }| {
            CatalogueError::StockBelowReserved { sku: self.sku.clone(), wanted, reserved }
        })?;
        Ok((quantity != 0).then_some(ProductChange {
            event: ProductEvent::StockChanged,
            movement: Some(CountedMovement { quantity, reason }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use contracts::Money;
    use contracts::money::Currency;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000);
    const LATER: Timestamp = Timestamp::from_unix_ms(2_000);

    fn price(minor: i64) -> Price {
        Price::new(Money::new(minor, Currency::USD).unwrap()).unwrap()
    }

    fn count(units: u64) -> Count {
        Count::new(units).unwrap()
    }

    fn details() -> ProductDetails {
        ProductDetails {
            name: ProductName::parse("Tea").unwrap(),
            description: Description::parse("Green").unwrap(),
            image_url: ImageUrl::parse("").unwrap(),
            tags: Tags::default(),
        }
    }

    fn tea(on_hand: u64) -> Product {
        Product::create("TEA-1".parse().unwrap(), details(), price(100), count(on_hand), NOW).0
    }

    #[test]
    fn what_is_on_the_shelf_at_the_start_is_in_the_ledger() {
        let movement = |on_hand| {
            let created = Product::create("T".parse().unwrap(), details(), price(1), count(on_hand), NOW);
            created.1.movement.map(|movement| movement.quantity)
        };
        assert_eq!(movement(7), Some(7));
        assert_eq!(movement(0), None);
    }

    #[test]
    fn each_change_makes_a_new_version_and_tells_what_it_was() {
        let mut product = tea(5);
        let changes = ProductChanges { name: Some(ProductName::parse("Chai").unwrap()), ..ProductChanges::default() };
        let commands = [
            (ProductCommand::Update(changes), ProductEvent::Updated),
            (ProductCommand::SetPrice(price(200)), ProductEvent::PriceChanged),
            (ProductCommand::SetStock { on_hand: count(2), reason: String::new() }, ProductEvent::StockChanged),
        ];
        for (n, (command, event)) in commands.into_iter().enumerate() {
            let change = product.apply(command, LATER).unwrap().unwrap();
            assert_eq!(change.event, event);
            assert_eq!((product.version(), product.updated_at()), (n as u64 + 2, LATER));
        }
        assert_eq!(product.details().name.as_str(), "Chai");
        assert_eq!(product.details().description.as_str(), "Green");
        assert_eq!(product.stock().on_hand(), 2);
    }

    #[test]
    fn what_is_so_already_changes_nothing() {
        let mut product = tea(5);
        let same = ProductChanges { name: Some(ProductName::parse("Tea").unwrap()), ..ProductChanges::default() };
        for command in [
            ProductCommand::Update(same),
            ProductCommand::Update(ProductChanges::default()),
            ProductCommand::SetPrice(price(100)),
            ProductCommand::SetStock { on_hand: count(5), reason: "counted".to_owned() },
        ] {
            assert_eq!(product.apply(command, LATER), Ok(None));
            assert_eq!(product, tea(5));
        }
    }

    #[test]
    fn no_count_goes_below_what_is_reserved() {
        let stock = Stock::from_stored(5, 3).unwrap();
        let mut product = Product::from_stored("TEA-1".parse().unwrap(), details(), price(1), stock, 1, NOW);
        let set = |units| ProductCommand::SetStock { on_hand: count(units), reason: String::new() };
        assert!(matches!(
            product.apply(set(2), LATER),
            Err(CatalogueError::StockBelowReserved { wanted: 2, reserved: 3, .. })
        ));
        let change = product.apply(set(3), LATER).unwrap().unwrap();
        assert_eq!(change.movement.unwrap().quantity, -2);
        assert_eq!(product.stock().available(), 0);
    }
}
