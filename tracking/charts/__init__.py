"""What charts of many runs are drawn from: series of points, read and thinned out by PostgreSQL, sent as bytes."""
