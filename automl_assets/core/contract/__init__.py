"""What a table must hold: the platform's rules, and the contract that a user writes down."""

from automl_assets.core.contract.builtin import (
    MIN_PART_CLASS_ROWS,
    MIN_PART_ROWS,
    check_snapshot,
)
from automl_assets.core.contract.check import check_contract
from automl_assets.core.contract.drift import ColumnDrift, compare_contracts, compare_profiles
from automl_assets.core.contract.file import MAX_BYTES, parse_contract
from automl_assets.core.contract.infer import infer_contract
from automl_assets.core.contract.model import DataContract, contract_json_schema
from automl_assets.core.contract.report import ContractReport, ContractRule, FailureCase

__all__ = [
    "MAX_BYTES",
    "MIN_PART_CLASS_ROWS",
    "MIN_PART_ROWS",
    "ColumnDrift",
    "ContractReport",
    "ContractRule",
    "DataContract",
    "FailureCase",
    "check_contract",
    "check_snapshot",
    "compare_contracts",
    "compare_profiles",
    "contract_json_schema",
    "infer_contract",
    "parse_contract",
]
