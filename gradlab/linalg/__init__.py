"""Array → array: matrix functions without trees and without state."""
