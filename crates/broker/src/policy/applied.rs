//! What holds for one queue or exchange: its own arguments, the policy, the operator policy.

use std::sync::Arc;

use logpond_routing::{Arguments, Value};

use super::{Policy, definition};

/// The policies that hold for one queue or exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    policy: Option<Arc<Policy>>,
    operator: Option<Arc<Policy>>,
}

impl Applied {
    pub(super) fn new(policy: Option<Arc<Policy>>, operator: Option<Arc<Policy>>) -> Self {
        Self { policy, operator }
    }

    /// What the policies say of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let policy = self.policy.as_ref().and_then(|policy| policy.definition.get(key));
        let operator = self
            .operator
            .as_ref()
            .and_then(|policy| policy.definition.get(key));
        match (policy, operator) {
            (Some(policy), Some(operator)) => Some(definition::merge(key, policy, operator)),
            (policy, operator) => policy.or(operator),
        }
    }

    /// A limit: the smaller of the argument `x-…` and what the policies say.
    pub(crate) fn limit(&self, arguments: &Arguments, key: &str) -> Option<u64> {
        let number = |value: &Value| value.as_integer().and_then(|number| u64::try_from(number).ok());
        let argument = arguments.get(format!("x-{key}")).and_then(number);
        let policy = self.get(key).and_then(number);
        match (argument, policy) {
            (Some(argument), Some(policy)) => Some(argument.min(policy)),
            (argument, policy) => argument.or(policy),
        }
    }

    /// A text: the argument, or else what the policies say.
    pub(crate) fn text<'a>(
        &'a self,
        arguments: &'a Arguments,
        argument: &str,
        key: &str,
    ) -> Option<&'a [u8]> {
        let value = arguments.get(argument).or_else(|| self.get(key));
        value.and_then(Value::as_str_bytes)
    }
}
