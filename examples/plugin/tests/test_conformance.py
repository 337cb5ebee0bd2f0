from ctrlnet.testing import check_environment, check_integrator


def test_ssp3_keeps_the_contract():
    check_integrator("ssp3")


def test_cart_keeps_the_contract():
    check_environment("cart")
