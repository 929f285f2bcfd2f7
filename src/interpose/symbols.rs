//! The runtime's symbols by name, exactly as its libraries export them.

/// Functions of the runtime that this library exports itself, so that calls arrive here first.
/// `tests/exports.rs` holds the library's exports against this list.
pub mod interposed {
    use std::ffi::CStr;

    pub const TRACK_ALLOCATE: &CStr = c"_ZN2tt8tt_metal12GraphTracker14track_allocateEPKNS0_6BufferE";
    pub const TRACK_DEALLOCATE: &CStr = c"_ZN2tt8tt_metal12GraphTracker16track_deallocateEPNS0_6BufferE";
    pub const HOOK_DEALLOCATE: &CStr = c"_ZN2tt8tt_metal12GraphTracker15hook_deallocateEPNS0_6BufferE";
    pub const ALLOCATE_BUFFER: &CStr = c"_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE";
    pub const DEALLOCATE_BUFFERS: &CStr = c"_ZN2tt8tt_metal13AllocatorImpl18deallocate_buffersEv";
    pub const MESH_CLOSE: &CStr = c"_ZN2tt8tt_metal11distributed10MeshDevice5closeEv";
    pub const CLEAR_PROGRAM_CACHE: &CStr = c"_ZN2tt8tt_metal11distributed10MeshDevice19clear_program_cacheEv";
    pub const DISABLE_AND_CLEAR_PROGRAM_CACHE: &CStr =
        c"_ZN2tt8tt_metal11distributed10MeshDevice31disable_and_clear_program_cacheEv";
    pub const TRACK_ALLOCATE_CB: &CStr =
        c"_ZN2tt8tt_metal12GraphTracker17track_allocate_cbERKNS0_12CoreRangeSetEmmbPKNS0_7IDeviceE";
    pub const TRACK_DEALLOCATE_CB: &CStr =
        c"_ZN2tt8tt_metal12GraphTracker19track_deallocate_cbEPKNS0_7IDeviceE";
    pub const TRACK_PROGRAM: &CStr =
        c"_ZN2tt8tt_metal12GraphTracker13track_programEPNS0_7ProgramEPKNS0_7IDeviceE";
    pub const ALLOCATE_CBS: &CStr =
        c"_ZN2tt8tt_metal6detail11ProgramImpl25allocate_circular_buffersEPKNS0_7IDeviceE";
    pub const DEALLOCATE_CBS: &CStr = c"_ZN2tt8tt_metal6detail11ProgramImpl27deallocate_circular_buffersEv";
    pub const VALIDATE_CBS: &CStr =
        c"_ZN2tt8tt_metal6detail11ProgramImpl31validate_circular_buffer_regionEPKNS0_7IDeviceE";
    pub const VALIDATE_DATAFLOW_BUFFERS: &CStr =
        c"_ZN2tt8tt_metal6detail11ProgramImpl31validate_dataflow_buffer_regionEPKNS0_7IDeviceE";
    /// Of the C++ library, `std::runtime_error(std::string const&)`.
    pub const RUNTIME_ERROR: &CStr =
        c"_ZNSt13runtime_errorC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
    pub const PROGRAM_DESTRUCTOR: &CStr = c"_ZN2tt8tt_metal6detail11ProgramImplD1Ev";
}

/// Functions of the runtime that are asked about a buffer, a device or an allocator.
pub mod asked {
    use std::ffi::CStr;

    // From 0.80, when `Buffer` became a handle.
    pub const BUFFER_SIZE: &CStr = c"_ZNK2tt8tt_metal6Buffer4sizeEv";
    pub const BUFFER_TYPE: &CStr = c"_ZNK2tt8tt_metal6Buffer11buffer_typeEv";
    pub const BUFFER_LAYOUT: &CStr = c"_ZNK2tt8tt_metal6Buffer13buffer_layoutEv";
    pub const BUFFER_DEVICE: &CStr = c"_ZNK2tt8tt_metal6Buffer6deviceEv";
    pub const BUFFER_UNIQUE_ID: &CStr = c"_ZNK2tt8tt_metal6Buffer9unique_idEv";

    pub const BUFFER_HAS_SHARD_SPEC: &CStr = c"_ZNK2tt8tt_metal6Buffer14has_shard_specEv";
    pub const BUFFER_SHARD_SPEC: &CStr = c"_ZNK2tt8tt_metal6Buffer10shard_specEv";

    // In every version.
    pub const BUFFER_ADDRESS: &CStr = c"_ZNK2tt8tt_metal6Buffer7addressEv";
    pub const BUFFER_IS_ALLOCATED: &CStr = c"_ZNK2tt8tt_metal6Buffer12is_allocatedEv";
    pub const BUFFER_PAGE_SIZE: &CStr = c"_ZNK2tt8tt_metal6Buffer9page_sizeEv";
    pub const BUFFER_NUM_PAGES: &CStr = c"_ZNK2tt8tt_metal6Buffer9num_pagesEv";
    pub const BUFFER_PER_BANK: &CStr = c"_ZNK2tt8tt_metal6Buffer21aligned_size_per_bankEv";
    pub const BUFFER_NUM_CORES: &CStr = c"_ZNK2tt8tt_metal6Buffer9num_coresEv";
    pub const BUFFER_IS_DRAM: &CStr = c"_ZNK2tt8tt_metal6Buffer7is_dramEv";
    pub const BUFFER_IS_L1: &CStr = c"_ZNK2tt8tt_metal6Buffer5is_l1Ev";

    pub const BANK_SIZE: &CStr = c"_ZNK2tt8tt_metal13AllocatorImpl13get_bank_sizeERKNS0_10BufferTypeE";
    pub const NUM_BANKS: &CStr = c"_ZNK2tt8tt_metal13AllocatorImpl13get_num_banksERKNS0_10BufferTypeE";
    pub const BASE_ADDRESS: &CStr =
        c"_ZNK2tt8tt_metal13AllocatorImpl23get_base_allocator_addrERKNS0_10HalMemTypeE";

    pub const MESH_ID: &CStr = c"_ZNK2tt8tt_metal11distributed10MeshDevice2idEv";
    pub const MESH_DEVICE_IDS: &CStr = c"_ZNK2tt8tt_metal11distributed10MeshDevice14get_device_idsEv";
    pub const MESH_NUM_ROWS: &CStr = c"_ZNK2tt8tt_metal11distributed10MeshDevice8num_rowsEv";
    pub const MESH_NUM_COLS: &CStr = c"_ZNK2tt8tt_metal11distributed10MeshDevice8num_colsEv";
    pub const MESH_TYPE_INFO: &CStr = c"_ZTIN2tt8tt_metal11distributed10MeshDeviceE";
    pub const DEVICE_TYPE_INFO: &CStr = c"_ZTIN2tt8tt_metal6DeviceE";

    pub const PROGRAM_ID: &CStr = c"_ZNK2tt8tt_metal6detail11ProgramImpl6get_idEv";

    /// `std::uncaught_exceptions()`, of the C++ library that the runtime uses.
    pub const UNCAUGHT_EXCEPTIONS: &CStr = c"_ZSt19uncaught_exceptionsv";
}
