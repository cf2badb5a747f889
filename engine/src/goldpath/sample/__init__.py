"""The example's data: customers who churn."""
