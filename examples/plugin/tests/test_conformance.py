from ctrlnet.testing import check_environment, check_integrator


def test_ralston_keeps_the_contract():
    check_integrator("ralston")


def test_cart_keeps_the_contract():
    check_environment("cart")
