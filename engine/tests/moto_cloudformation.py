"""What moto's CloudFormation lacks, so that it can make all of `infra/aws/data.yaml`.

Version 5.2 knows no Glue database, no Athena workgroup and no bucket policy; of a bucket it sets
the encryption only, of a DynamoDB table neither encryption nor recovery. Here these are made with
moto's own API, through boto3, which checks the template's values against AWS's description of it.

What stays different from AWS, whatever is done here:

- a change set lists changes of the template, but not those that only a parameter makes;
- outputs are not given, and events name the stack, never a resource;
- a resource that fails makes the call fail; nothing is rolled back;
- nobody is refused: the roles' policies are stored, not applied.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import boto3
from moto.athena.models import athena_backends
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.iam.models import Role
from moto.kms.models import Key
from moto.s3.models import FakeBucket
from moto.server import ThreadedMotoServer

Properties = dict[str, Any]


@contextmanager
def moto_server() -> Iterator[str]:
    """Start moto's server; gives its URL. What it holds is shared by all servers of the process."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    Addition.endpoint = f"http://{host}:{port}"
    # It remembers which types it knows; where it ran before, those below are not among them.
    for remembered in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        remembered.cache_clear()
    try:
        yield Addition.endpoint
    finally:
        server.stop()


def api(service: str, region: str = "us-east-1", endpoint: str | None = None) -> Any:
    """A client of the server."""
    return boto3.client(
        service,
        endpoint_url=endpoint or Addition.endpoint,
        region_name=region,
        aws_access_key_id="emulated",
        aws_secret_access_key="emulated",
    )


class Addition:
    """A resource that moto's CloudFormation could not make; the subclasses say how.

    They are moto's models, too, each by itself: moto takes the direct subclasses of its own class,
    and for a type that it has, the last one.
    """

    endpoint: ClassVar[str] = ""
    type_name: ClassVar[str] = ""
    name_property: ClassVar[str] = ""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.type_name

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.name_property

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return True

    def is_created(self) -> bool:
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Any:
        made = cls.make(cloudformation_json["Properties"], account_id, region_name)
        return made or cls(resource_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
    ) -> Any:
        cls.change(cloudformation_json["Properties"], account_id, region_name)
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
    ) -> None:
        raise NotImplementedError

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        """Make the resource; may give the one that moto has for it."""
        raise NotImplementedError

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        """Bring the resource to its new properties."""
        raise NotImplementedError


class GlueDatabase(Addition, CloudFormationModel):
    type_name = "AWS::Glue::Database"

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        api("glue", region).create_database(**properties)
        return cls(properties["DatabaseInput"]["Name"])

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        name = properties["DatabaseInput"]["Name"]
        api("glue", region).update_database(Name=name, **properties)


class AthenaWorkgroup(Addition, CloudFormationModel):
    type_name = "AWS::Athena::WorkGroup"
    name_property = "Name"

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        assert properties["State"] == "ENABLED"
        api("athena", region).create_work_group(
            Name=properties["Name"],
            Description=properties["Description"],
            Configuration=properties["WorkGroupConfiguration"],
        )
        return cls(properties["Name"])

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        # moto has no UpdateWorkGroup.
        group = athena_backends[account][region].work_groups[properties["Name"]]
        group.configuration = properties["WorkGroupConfiguration"]
        group.description = properties["Description"]


class BucketPolicy(Addition, CloudFormationModel):
    type_name = "AWS::S3::BucketPolicy"

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        api("s3", region).put_bucket_policy(
            Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"])
        )
        return None

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        cls.make(properties, account, region)


class Bucket(Addition, CloudFormationModel):
    type_name = "AWS::S3::Bucket"
    name_property = "BucketName"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Any:
        made = FakeBucket.create_from_cloudformation_json(
            resource_name, cloudformation_json, account_id, region_name
        )
        cls.configure(resource_name, cloudformation_json["Properties"], region_name)
        return made

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        if name := properties.get("BucketName"):
            cls.configure(name, properties, region)

    @classmethod
    def configure(cls, name: str, properties: Properties, region: str) -> None:
        s3 = api("s3", region)
        s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                        "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
                    }
                    for rule in properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
                ]
            },
        )
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"],
        )
        s3.put_bucket_ownership_controls(
            Bucket=name, OwnershipControls=properties["OwnershipControls"]
        )
        s3.put_bucket_lifecycle_configuration(
            Bucket=name,
            LifecycleConfiguration={
                "Rules": [_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
            },
        )
        if "VersioningConfiguration" in properties:
            s3.put_bucket_versioning(
                Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"]
            )
        if logging := properties.get("LoggingConfiguration"):
            s3.put_bucket_logging(
                Bucket=name,
                BucketLoggingStatus={
                    "LoggingEnabled": {
                        "TargetBucket": logging["DestinationBucketName"],
                        "TargetPrefix": logging["LogFilePrefix"],
                    }
                },
            )


class OnlineTable(Addition, CloudFormationModel):
    type_name = "AWS::DynamoDB::Table"
    name_property = "TableName"

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        encryption = dict(properties["SSESpecification"])
        encryption["Enabled"] = encryption.pop("SSEEnabled")
        same = ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema")
        api("dynamodb", region).create_table(
            SSESpecification=encryption, **{key: properties[key] for key in same}
        )
        cls.change(properties, account, region)
        return cls(properties["TableName"])

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        api("dynamodb", region).update_continuous_backups(
            TableName=properties["TableName"],
            PointInTimeRecoverySpecification=properties["PointInTimeRecoverySpecification"],
        )


# moto keeps the policies of roles and keys as they come, and can then not read them as JSON.


class WorkRole(Addition, CloudFormationModel):
    type_name = "AWS::IAM::Role"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Any:
        properties = dict(cloudformation_json["Properties"])
        properties["Policies"] = [
            {**policy, "PolicyDocument": json.dumps(policy["PolicyDocument"])}
            for policy in properties["Policies"]
        ]
        return Role.create_from_cloudformation_json(
            resource_name, {"Properties": properties}, account_id, region_name
        )


class RolePolicy(Addition, CloudFormationModel):
    type_name = "AWS::IAM::Policy"

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        for role in properties["Roles"]:
            api("iam", region).put_role_policy(
                RoleName=role,
                PolicyName=properties["PolicyName"],
                PolicyDocument=json.dumps(properties["PolicyDocument"]),
            )

    @classmethod
    def change(cls, properties: Properties, account: str, region: str) -> None:
        cls.make(properties, account, region)


class EncryptionKey(Addition, CloudFormationModel):
    type_name = "AWS::KMS::Key"

    @classmethod
    def make(cls, properties: Properties, account: str, region: str) -> Any:
        as_text = {**properties, "KeyPolicy": json.dumps(properties["KeyPolicy"])}
        return Key.create_from_cloudformation_json("", {"Properties": as_text}, account, region)


def _rule(rule: Properties) -> Properties:
    """A lifecycle rule, from CloudFormation's form to the API's."""
    expiration = {
        new: rule[old]
        for old, new in (
            ("ExpirationInDays", "Days"),
            ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
        )
        if old in rule
    }
    same: Properties = {
        key: rule[key]
        for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
        if key in rule
    }
    return {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
        "Expiration": expiration,
        **same,
    }
