//! What every transport must hold.

use chat_core::Plugin as _;
use chat_core::testing::transport::Subject;
use transport_memory::Memory;

chat_core::transport_suite!(subject: Subject::of::<Memory>(Memory::EXAMPLE, || "suite:0".into()).on_virtual_time());
