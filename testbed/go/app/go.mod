module testbed/app

go 1.26.0
