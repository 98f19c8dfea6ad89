"""The flat table of all rules, in code order, and look-up by code, name or prefix."""

from __future__ import annotations

from vllm_lint.analyzer.lifecycle import Stage
from vllm_lint.analyzer.rule import Rule
from vllm_lint.rules.compile_cache.incomplete_compute_hash import IncompleteComputeHash
from vllm_lint.rules.compile_cache.machine_dependent_constant import MachineDependentConstant
from vllm_lint.rules.compile_cache.pass_without_uuid import PassWithoutUuid
from vllm_lint.rules.compile_cache.unhashed_config_field import UnhashedConfigField
from vllm_lint.rules.compile_cache.unhashed_environment_variable import UnhashedEnvironmentVariable
from vllm_lint.rules.cuda_graph.buffer_rebinding import BufferRebinding
from vllm_lint.rules.cuda_graph.growable_buffer_captured import GrowableBufferCaptured
from vllm_lint.rules.cuda_graph.host_sync_in_graph import HostSyncInGraph
from vllm_lint.rules.cuda_graph.host_to_device_copy import HostToDeviceCopy
from vllm_lint.rules.cuda_graph.tensor_cached_on_host_state import TensorCachedOnHostState
from vllm_lint.rules.custom_operator.composite_decides_on_size import CompositeDecidesOnSize
from vllm_lint.rules.custom_operator.fake_decides_on_size import FakeDecidesOnSize
from vllm_lint.rules.custom_operator.fake_disagrees import FakeDisagreesRule
from vllm_lint.rules.custom_operator.fake_reads_data import FakeReadsDataRule
from vllm_lint.rules.custom_operator.fake_signature_mismatch import FakeSignatureMismatch
from vllm_lint.rules.custom_operator.fake_without_body import FakeWithoutBody
from vllm_lint.rules.custom_operator.missing_fake import MissingFake
from vllm_lint.rules.custom_operator.operator_registered_twice import OperatorRegisteredTwice
from vllm_lint.rules.custom_operator.output_aliases_input import OutputAliasesInput
from vllm_lint.rules.custom_operator.scalar_returning_operator import ScalarReturningOperator
from vllm_lint.rules.custom_operator.undeclared_mutation import UndeclaredMutation
from vllm_lint.rules.dynamic_shape.batch_size_branch import BatchSizeBranch
from vllm_lint.rules.dynamic_shape.batch_size_divisibility import BatchSizeDivisibility
from vllm_lint.rules.dynamic_shape.batch_size_specialization import BatchSizeSpecialization
from vllm_lint.rules.dynamic_shape.constant_token_index import ConstantTokenIndex
from vllm_lint.rules.dynamic_shape.cross_input_size_branch import CrossInputSizeBranch
from vllm_lint.rules.dynamic_shape.missing_shape_id import MissingShapeId
from vllm_lint.rules.dynamic_shape.unbounded_unbacked_size import UnboundedUnbackedSize
from vllm_lint.rules.dynamic_shape.undeclared_dynamic_dim import UndeclaredDynamicDim
from vllm_lint.rules.dynamic_shape.zero_one_specialization import ZeroOneSpecialization
from vllm_lint.rules.graph_break.autograd_in_graph import AutogradInGraph
from vllm_lint.rules.graph_break.control_flow_operator_misuse import ControlFlowOperatorMisuse
from vllm_lint.rules.graph_break.coroutine_in_graph import CoroutineInGraph
from vllm_lint.rules.graph_break.cuda_api_in_graph import CudaApiInGraph
from vllm_lint.rules.graph_break.data_dependent_branch import DataDependentBranch
from vllm_lint.rules.graph_break.disabled_function_in_graph import DisabledFunctionInGraph
from vllm_lint.rules.graph_break.dynamic_output_without_bound import DynamicOutputWithoutBound
from vllm_lint.rules.graph_break.exception_around_tensor_op import ExceptionAroundTensorOp
from vllm_lint.rules.graph_break.logging_in_graph import LoggingInGraph
from vllm_lint.rules.graph_break.object_built_in_graph import ObjectBuiltInGraph
from vllm_lint.rules.graph_break.print_in_graph import PrintInGraph
from vllm_lint.rules.graph_break.tensor_truth_value import TensorTruthValue
from vllm_lint.rules.graph_break.unsupported_numpy import UnsupportedNumpy
from vllm_lint.rules.graph_break.unsupported_tensor_kind import UnsupportedTensorKind
from vllm_lint.rules.graph_break.untraceable_call import UntraceableCall
from vllm_lint.rules.graph_break.untraceable_context_manager import UntraceableContextManager
from vllm_lint.rules.graph_break.untraceable_tensor_method import UntraceableTensorMethod
from vllm_lint.rules.step_state.default_dtype_in_graph import DefaultDtypeInGraph
from vllm_lint.rules.step_state.env_read_in_graph import EnvReadInGraph
from vllm_lint.rules.step_state.forward_context_decision import ForwardContextDecision
from vllm_lint.rules.step_state.lazy_state import LazyState
from vllm_lint.rules.step_state.mutable_global import MutableGlobal
from vllm_lint.rules.step_state.mutated_attribute import MutatedAttribute
from vllm_lint.rules.step_state.state_handed_to_operator import StateHandedToOperator
from vllm_lint.rules.tool.malformed_suppression import MalformedSuppression
from vllm_lint.rules.tool.suppression_without_reason import SuppressionWithoutReason
from vllm_lint.rules.tool.unknown_suppression_code import UnknownSuppressionCode
from vllm_lint.rules.tool.unparsable_file import UnparsableFile
from vllm_lint.rules.tool.unreadable_file import UnreadableFile
from vllm_lint.rules.tool.unresolved_root import UnresolvedCompiledRoot
from vllm_lint.rules.tool.unused_suppression import UnusedSuppression

RULES: tuple[type[Rule], ...] = (
    UnreadableFile,  # VL001
    UnparsableFile,  # VL002
    UnusedSuppression,  # VL003
    UnknownSuppressionCode,  # VL004
    MalformedSuppression,  # VL005
    SuppressionWithoutReason,  # VL006
    UnresolvedCompiledRoot,  # VL007
    TensorTruthValue,  # VL101
    DataDependentBranch,  # VL102
    PrintInGraph,  # VL103
    LoggingInGraph,  # VL104
    UntraceableCall,  # VL105
    UntraceableContextManager,  # VL106
    DisabledFunctionInGraph,  # VL107
    ObjectBuiltInGraph,  # VL108
    CudaApiInGraph,  # VL109
    UnsupportedTensorKind,  # VL110
    DynamicOutputWithoutBound,  # VL111
    ExceptionAroundTensorOp,  # VL112
    AutogradInGraph,  # VL113
    UntraceableTensorMethod,  # VL114
    UnsupportedNumpy,  # VL115
    CoroutineInGraph,  # VL116
    ControlFlowOperatorMisuse,  # VL117
    BatchSizeBranch,  # VL201
    BatchSizeSpecialization,  # VL202
    ZeroOneSpecialization,  # VL203
    BatchSizeDivisibility,  # VL204
    UndeclaredDynamicDim,  # VL205
    MissingShapeId,  # VL206
    CrossInputSizeBranch,  # VL207
    ConstantTokenIndex,  # VL208
    UnboundedUnbackedSize,  # VL209
    MissingFake,  # VL301
    FakeSignatureMismatch,  # VL302
    FakeWithoutBody,  # VL303
    UndeclaredMutation,  # VL304
    OutputAliasesInput,  # VL305
    FakeDisagreesRule,  # VL306
    FakeDecidesOnSize,  # VL307
    FakeReadsDataRule,  # VL308
    ScalarReturningOperator,  # VL309
    CompositeDecidesOnSize,  # VL310
    OperatorRegisteredTwice,  # VL312
    HostSyncInGraph,  # VL401
    HostToDeviceCopy,  # VL402
    BufferRebinding,  # VL403
    TensorCachedOnHostState,  # VL404
    GrowableBufferCaptured,  # VL407
    UnhashedEnvironmentVariable,  # VL501
    UnhashedConfigField,  # VL502
    IncompleteComputeHash,  # VL503
    PassWithoutUuid,  # VL504
    MachineDependentConstant,  # VL505
    EnvReadInGraph,  # VL601
    MutatedAttribute,  # VL602
    ForwardContextDecision,  # VL603
    MutableGlobal,  # VL604
    LazyState,  # VL605
    DefaultDtypeInGraph,  # VL608
    StateHandedToOperator,  # VL610
)


def find(selector: str) -> tuple[type[Rule], ...]:
    """Rules that `selector` names: a code, a kebab-case name, a code prefix such as `VL2`, or `ALL`.

    Returns an empty tuple if it names none. Opt-in and removed rules are named by code or name only.
    """
    exact = tuple(rule for rule in RULES if rule.meta.is_named(selector))
    if exact:
        return exact
    is_prefix = selector.startswith("VL") and selector[2:].isdigit() and len(selector) < len("VL000")
    if not is_prefix and selector not in ("ALL", "VL"):
        return ()
    prefix = selector if is_prefix else ""
    of_prefix = (rule for rule in RULES if rule.meta.code.startswith(prefix))
    return tuple(rule for rule in of_prefix if not rule.meta.opt_in and rule.meta.stage is not Stage.REMOVED)
