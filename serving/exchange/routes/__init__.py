"""The routes of the HTTP edge, a module for each part of Kite Connect's interface and one for the exchange's own."""
