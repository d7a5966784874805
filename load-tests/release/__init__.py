"""Load tests of a release: arrivals that wait for nobody, thresholds, a page, a plan of capacity."""
