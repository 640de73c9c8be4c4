-- The request that opened the payment, for what is settled later; unknown for older ones.
ALTER TABLE payments ADD COLUMN request_id TEXT;
ALTER TABLE payments ADD COLUMN traceparent TEXT;
